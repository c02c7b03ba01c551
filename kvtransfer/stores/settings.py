"""Defines the settings that all stores share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.stores.seals.in_use import Seals
from kvtransfer.stores.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class StoreSettings:
    """Settings of any store; each store uses those that apply to it.

    Raises:
        ConfigError: a value is out of range.
    """

    ttl_s: int | None = None
    """Seconds that an entry lives after its last put; None: until the store evicts it."""
    refresh_ttl: bool = False
    """Whether a hit gives an entry another ``ttl_s``, as a put does."""
    timeout_s: float = 2.0
    """Longest time of a call, including waiting for a connection and connecting."""
    connections: int = 4
    """Most calls under way at once; in a cluster, at each node."""
    password_file: str | None = None
    """File with the password, where the URL has none; it is read for each connection."""
    password_command: Sequence[str] | Callable[[], str] | None = field(default=None, repr=False)
    """Program and arguments that print the password, or a function that returns it; called in a
    thread of its own and kept for ``password_max_age_s``, or until a server refuses it."""
    password_max_age_s: float = 600.0
    """Seconds after which the command is asked for the password again."""
    seals: Seals = field(default_factory=Seals.unkeyed)
    """The seals that bind payloads to their records."""
    only_reads: bool = False
    """Whether reads leave everything as it is: they remove nothing damaged, and are no use of it."""
    shelf: Shelf = field(default_factory=Shelf)
    """The entries of ``memory://``."""

    @property
    def password_sources(self) -> tuple[str, ...]:
        """What of these settings gives a password, in the words of who sets it."""
        sources = {"the password file": self.password_file, "the command": self.password_command}
        return tuple(words for words, source in sources.items() if source is not None)

    @property
    def hit_ttl_s(self) -> int | None:
        """Seconds that an entry lives after a hit; None where a hit changes nothing."""
        return self.ttl_s if self.refresh_ttl and not self.only_reads else None

    def __post_init__(self) -> None:
        if self.ttl_s is not None and self.ttl_s < 1:
            raise ConfigError(f"ttl_s={self.ttl_s} must be at least 1, or None to keep entries")
        if not self.timeout_s > 0:
            raise ConfigError(f"timeout_s={self.timeout_s} must be more than 0")
        if self.connections < 1:
            raise ConfigError(f"connections={self.connections} must be at least 1")
