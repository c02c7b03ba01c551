"""Defines ledgers, which count in a store what each scope holds there, for all engines together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kvtransfer.stores.ledgers.member import Member
    from kvtransfer.stores.ledgers.scope import Limit, Scope

USED = -1
"""In the place of an entry's bytes: it was used, which counts if the ledger has it."""
GONE = 0
"""In the place of an entry's bytes: it is no longer there."""
MOST_TOLD = 500
"""Entries that one call may tell a ledger."""


@dataclass(frozen=True)
class Telling:
    """What one writer tells a ledger."""

    entries: Mapping[Member, int]
    """Bytes of each, as stored, or ``USED`` or ``GONE``; at most ``MOST_TOLD``."""
    lease_bytes: int = 0
    """What the writer may put from now on before it tells of it, in place of its earlier lease."""
    refused: int = 0
    """Puts that the writer has refused since it last told."""
    put_us: Mapping[Member, int] = field(default_factory=dict)
    """When entries were put, in µs since 1970: those that a listing has shown. One that the ledger
    has already stays as it is; all others count as put or used now."""


class Account(NamedTuple):
    """What a ledger answers."""

    is_new: bool
    """Whether it had nothing before: it is the first of its scope, or was lost."""
    held_bytes: int
    """Bytes of all entries and leases."""
    leases: int
    """How many writers have a lease."""
    victims: Sequence[Member]
    """Entries that count no longer, the oldest of the scope, and have to be removed before others
    are put in their place."""


@dataclass(frozen=True)
class ScopeState:
    """What a ledger says of its scope."""

    scope: Scope
    limit_bytes: int
    """The limit by which it was last kept."""
    held_bytes: int
    entries: int
    evicted: int
    """Entries evicted for the limit since the ledger began."""
    refused: int
    """Puts refused for the limit since then."""


class Ledger(Protocol):
    """The ledgers of all scopes in one store; safe to call from several threads.

    What can't be asked raises :class:`PartError`, since entries may well be read meanwhile.
    """

    def tell(self, limit: Limit, writer: str, telling: Telling) -> Account:
        """Count what ``writer`` tells, and make room down to ``limit``, as far as one call can."""
        ...

    def remove(self, members: Sequence[Member]) -> None:
        """Remove entries from the store; ledgers aren't told."""
        ...

    def register(self, scope: Scope) -> bool:
        """List ``scope`` among those that have a ledger; return whether it is new there."""
        ...

    def scopes(self) -> Iterator[Scope]:
        """List the scopes that have a ledger."""
        ...

    def state(self, scope: Scope) -> ScopeState:
        """Return what the ledger of ``scope`` says; zeros where it has none."""
        ...

    def members(self, scope: Scope) -> Iterator[Mapping[Member, int]]:
        """List the entries of ``scope`` some at a time, with their last put or use in µs since 1970."""
        ...

    def now_us(self) -> int:
        """Return the time by which uses are counted, in µs since 1970."""
        ...

    def forget(self, scope: Scope) -> None:
        """Drop the ledger of ``scope``."""
        ...

    def is_counted(self) -> bool:
        """Whether a recount has covered all entries, and no ledger was lost since then."""
        ...

    def set_counted(self, *, is_counted: bool) -> None:
        """Say so, or that it is no longer so."""
        ...

    def claim(self, writer: str) -> bool:
        """Be the one that recounts for the next minutes, again if ``writer`` was; False: another is."""
        ...

    def close(self) -> None:
        """Close what is held open; no other call may be running or follow."""
        ...
