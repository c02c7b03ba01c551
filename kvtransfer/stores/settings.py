"""How to use a store, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvtransfer.errors import ConfigError
from kvtransfer.stores.seals.in_use import Seals
from kvtransfer.stores.shelf import Shelf


@dataclass(frozen=True)
class StoreSettings:
    """Settings that all stores understand; each uses those that concern it."""

    ttl_s: int | None = None
    """Seconds that an entry lives after it was last put; None: until the store evicts it."""
    refresh_ttl: bool = False
    """A hit, too, gives an entry another ``ttl_s``."""
    timeout_s: float = 2.0
    """Longest that a call takes, waiting for a connection and connecting included."""
    connections: int = 4
    """Calls that may be under way at once; in a cluster, at each node."""
    password_file: str | None = None
    """The file with the password that the URL doesn't have; read for each connection."""
    seals: Seals = field(default_factory=Seals.unkeyed)
    """What binds payloads to their records."""
    shelf: Shelf = field(default_factory=Shelf)
    """What ``memory://`` holds."""

    @property
    def hit_ttl_s(self) -> int | None:
        """Seconds that an entry lives after a hit; None: as long as it would have without."""
        return self.ttl_s if self.refresh_ttl else None

    def __post_init__(self) -> None:
        if self.ttl_s is not None and self.ttl_s < 1:
            raise ConfigError(f"ttl_s={self.ttl_s} must be at least 1, or None to keep entries")
        if not self.timeout_s > 0:
            raise ConfigError(f"timeout_s={self.timeout_s} must be more than 0")
        if self.connections < 1:
            raise ConfigError(f"connections={self.connections} must be at least 1")
