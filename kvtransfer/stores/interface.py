"""Defines what every store beyond host memory can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, Self, TypeAlias

from kvtransfer.errors import ConfigError
from kvtransfer.stores.circuit_breaker import BreakerSettings
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kvtransfer.stores.feeds.interface import Feed
    from kvtransfer.stores.ledgers.interface import Ledger
    from kvtransfer.stores.record import ChunkFacts, ChunkRecord, Identity
    from kvtransfer.stores.settings import StoreSettings

FAR_FETCHES = 16
"""Fetches to have under way at once from a store that is far away: most of each is waiting."""

LengthOf: TypeAlias = "Callable[[str], int | None]"
"""Returns how long the payload of a base key is if it is stored as it is; None: that isn't known."""

Serves: TypeAlias = "Callable[[Identity], bool]"
"""Whether an entry may stay where another is to be put, as far as its record says."""


def any_length(key: str) -> int | None:
    """Know no length."""
    del key
    return None


class StoredEntry(NamedTuple):
    """One entry in a listing."""

    key: str
    """The base key."""
    nbytes: int
    """Bytes of the payload as stored."""
    created_s: int
    """Seconds since 1970 at which it was put, by the clock of its writer."""
    identity: Identity
    """What its record says, which nothing has verified."""

    @classmethod
    def of(cls, record: ChunkRecord) -> StoredEntry:
        """Make the line of a listing for the entry of ``record``."""
        identity = record.identity
        return cls(identity.key, identity.nbytes, identity.created, identity)


class ChunkStore(Protocol):
    """Holds pieces of known formats by base key; safe to call from several threads.

    Every method but ``close`` raises :class:`StoreError` when the store itself can't answer, and
    ``ValueError`` for a payload that isn't as long as its key's format says.
    """

    @property
    def parallelism(self) -> int:
        """See :class:`Store`."""
        ...

    def open_breakers(self) -> int:
        """See :class:`Store`."""
        ...

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """Say for each key, in order, whether its entry is there; payloads aren't verified."""
        ...

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """Fill the whole of ``payload`` with the verified chunk of ``key``.

        False is a miss: no entry, half of one, another format, a wrong length, or a tag that our
        seals don't compute from this key, record and payload. The store removes what it found of
        such an entry, and the content of ``payload`` is undefined.

        Args:
            key: the base key.
            payload: room for one chunk, written only during the call.
            tenant: for whom the chunk was put; it matters where payloads are encrypted.
        """
        ...

    def put(
        self, key: str, payload: memoryview, tenant: str = "", ttl_s: int | None = None
    ) -> bool:
        """Hold ``payload``, which is read only during the call, as the chunk of ``key``.

        True means that the store holds the key now. An entry that is already there, in a format
        that we can read and under a seal that we can open, is kept (equal keys mean equal bytes)
        and lives on for another ``ttl_s`` of the settings. Arguments are as for ``get_into``, and:

        Args:
            key: the base key.
            payload: one chunk.
            tenant: for whom it is put.
            ttl_s: put it to live for that long at most, and leave an entry that is there to the
                life that it has; a store whose entries can't have lives of their own holds
                nothing of it. None: as the settings say.
        """
        ...

    def expect_puts(self, keys: Sequence[str]) -> None:
        """See :class:`Store`."""
        ...

    def close(self) -> None:
        """Close what the store holds open; no other call may be running or follow."""
        ...


class Store(Protocol):
    """Holds entries, each a payload and its record, by base key; safe to call from several threads.

    A store doesn't know what payloads mean: it takes them in any length, and returns as many bytes
    as the record says. Every method but ``close`` raises :class:`StoreError` when the store can't
    answer.
    """

    keeps_quotas: ClassVar[bool] = False
    """Whether ``open_ledger`` returns a ledger."""

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> Self:
        """Return the store at ``url``; it connects when it is first used.

        Raises:
            ConfigError: the URL is malformed, or needs a library that isn't installed here.
        """
        ...

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        """Refuse a URL that ``open`` would refuse, as far as that shows without opening anything.

        Raises:
            ConfigError: as for ``open``.
        """

    @classmethod
    def open_feed(cls, url: str, settings: StoreSettings) -> Feed | None:
        """Return the feed of the store at ``url``, which lives beside its entries; None: it has none.

        Raises:
            ConfigError: as for ``open``.
        """
        del url, settings
        return None

    @classmethod
    def open_ledger(cls, url: str, settings: StoreSettings) -> Ledger:
        """Return the ledgers of the store at ``url``, for quotas, where it ``keeps_quotas``.

        Raises:
            ConfigError: as for ``open``, or it keeps none.
        """
        del settings
        raise ConfigError(
            f"{masked(url)!r} keeps no quotas: only Redis and Valkey do; use one of them, or take "
            "the section remote out of quotas_file"
        )

    @property
    def parallelism(self) -> int:
        """Fetches to have under way at once, as far as calls so far have shown; more are allowed."""
        return 1

    @property
    def breaker_settings(self) -> BreakerSettings:
        """When callers should stop asking this store, and when they should try again."""
        return BreakerSettings()

    @property
    def gauges(self) -> Mapping[str, Callable[[], int]]:
        """Metrics that show the state of this store, by name."""
        return {}

    def open_breakers(self) -> int:
        """Count the parts of the store, such as nodes, whose circuit breaker is open."""
        return 0

    def require_room(self, nbytes: int) -> None:
        """Check that the store can ever hold a payload of ``nbytes``.

        Raises:
            ConfigError: its limit is lower; the message names both.
        """

    def contains(self, keys: Sequence[str], length_of: LengthOf = any_length) -> list[bool]:
        """Say for each key, in order, whether both halves of its entry are there, unverified.

        Args:
            keys: base keys.
            length_of: a store that learns the length of an entry at no extra cost looks into a
                shorter one, and counts a longer one as missing.
        """
        ...

    def get_into(self, key: str, buffer: memoryview, tenant: str = "") -> ChunkRecord | None:
        """Fill the front of ``buffer`` with the verified payload of ``key`` as it is stored.

        The record's ``nbytes`` says how much of ``buffer`` was filled; the rest is undefined. None
        is a miss: no entry, half of one, a payload that is longer than ``buffer`` or not as long
        as its record says, or a tag that our seals don't compute from this key, record and
        payload. The store removes what it found of such an entry, unless it ``only_reads``.

        Args:
            key: the base key.
            buffer: flat bytes, written only during the call.
            tenant: for whom the entry was put; it matters where payloads are encrypted.
        """
        ...

    def renew(self, key: str, serves: Serves) -> bool:
        """Let the entry of ``key`` live for another ``ttl_s``, instead of putting it again.

        True means that the store holds an entry that ``serves``, under a seal that we can open.
        A store that always answers False is sent what it already holds.
        """
        del key, serves
        return False

    def living_for(self, ttl_s: int) -> Store | None:
        """Return this store as one that puts entries to live for ``ttl_s`` at most.

        It shares everything else with this one, which alone is closed. Its ``renew`` finds entries
        and leaves them the life that they have. None is a store whose entries can't have lives of
        their own.
        """
        del ttl_s
        return None

    def put(self, key: str, payload: memoryview, facts: ChunkFacts, tenant: str = "") -> bool:
        """Hold ``payload`` as ``key`` with a record that says ``facts``, over what is there.

        True means that the store holds the key now.

        Args:
            key: the base key.
            payload: flat bytes as they are to be stored, read only during the call.
            facts: what the payload means.
            tenant: see ``get_into``.
        """
        ...

    def expect_puts(self, keys: Sequence[str]) -> None:
        """Take the hint that ``keys`` will be put next, in this order.

        A store that has to ask whether it holds a key asks for all of them at once. Each put is
        the same without it.
        """
        del keys

    def entries(self) -> Iterator[StoredEntry]:
        """List the entries whose record can be read, in no order, without verifying payloads.

        Entries that are put or removed meanwhile may or may not be listed.
        """
        ...

    def stat(self, key: str) -> ChunkRecord | None:
        """Return the record of ``key``; None where no entry is as long as its record says."""
        ...

    def record_of(self, key: str) -> ChunkRecord | None:
        """Return the record of ``key``, also where the payload is missing or has another length."""
        return self.stat(key)

    def orphans(self) -> Iterator[str]:
        """List the keys of which a payload is there without a record, in no order.

        Such a half holds room and is never read; a writer may be about to put its record.
        """
        yield from ()

    def remove(self, key: str) -> None:
        """Remove the entry of ``key``, or the half that is there, if any."""
        ...

    def close(self) -> None:
        """Close what the store holds open; no other call may be running or follow."""
        ...
