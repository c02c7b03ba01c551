"""Places beyond host memory that hold chunks, behind one interface."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from kvtransfer.errors import ConfigError
from kvtransfer.stores.seals.in_use import Seals
from kvtransfer.stores.shelf import Shelf
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.layout import ChunkFormat

__all__ = ["Distant", "Parted", "Store", "StoreSettings", "open_store"]


class Store(Protocol):
    """Holds payloads of one :class:`ChunkFormat` by base key; safe to call from several threads.

    Every method but ``close`` raises :class:`StoreError` when the store itself can't answer, and
    ``ValueError`` for a payload that isn't ``ChunkFormat.nbytes`` long.
    """

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """For each key, in order, whether both halves of its entry are there (not verified)."""
        ...

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """Fill the whole of ``payload`` with the verified bytes of ``key``.

        False is a miss: no entry, half of one, another format, a wrong length, or a tag that
        isn't what our seals make of this key, record and payload. What was found of such an entry
        is removed, and the content of ``payload`` is undefined.

        Args:
            key: the base key.
            payload: room for one chunk.
            tenant: for whom it was put; it matters where payloads are encrypted.
        """
        ...

    def put(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """Hold ``payload``, read only during the call, as ``key``; arguments as for ``get_into``.

        True means that the store holds the key now. An entry that is already there in the same
        format, under a seal that we can open, is kept (equal keys mean equal bytes) and lives on
        for another ``ttl_s``.
        """
        ...

    def close(self) -> None:
        """Give back what the store holds open; no other call may be running or follow."""
        ...


@runtime_checkable
class Parted(Protocol):
    """A store of several parts, some of which may be left alone while the others serve."""

    def parts_left_alone(self) -> int:
        """How many there are just now."""
        ...


@runtime_checkable
class Distant(Protocol):
    """A store that may be far away, so that most of a call is waiting."""

    @property
    def is_far(self) -> bool:
        """Whether it is, as far as calls so far have shown."""
        ...


@dataclass(frozen=True)
class StoreSettings:
    """How to use a store, whichever it is."""

    ttl_s: int | None = None
    """Seconds that an entry lives after it was last put; None: until the store evicts it."""
    refresh_ttl: bool = False
    """A hit, too, gives an entry another ``ttl_s``."""
    timeout_s: float = 2.0
    """Longest that a call takes, waiting for a connection and connecting included."""
    connections: int = 4
    """Calls that may be under way at once; in a cluster, at each node."""
    password_file: str | None = None
    """Where the password stands that the URL doesn't have; read for each connection."""
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


def open_store(url: str, chunk: ChunkFormat, settings: StoreSettings) -> Store:
    """The store at ``url`` for payloads of ``chunk``; connects when it is first used.

    Raises:
        ConfigError: the URL names no store that we know, is malformed, or needs what isn't here.
    """
    scheme, _, rest = url.partition("://")
    if scheme in ("redis", "rediss", "unix", "redis-sentinel", "rediss-sentinel"):
        from kvtransfer.stores.redis.store import RedisStore

        return RedisStore(url, chunk, settings)
    if scheme in ("redis-cluster", "rediss-cluster"):
        from kvtransfer.stores.redis.cluster_store import RedisClusterStore

        return RedisClusterStore(url, chunk, settings)
    if scheme == "embedded":
        from kvtransfer.stores.embedded.store import EmbeddedStore

        return EmbeddedStore(url, chunk, settings)
    if scheme == "disk":
        from kvtransfer.stores.disk.store import DiskStore

        return DiskStore.open(url, chunk, settings)
    if scheme == "memory" and not rest:
        from kvtransfer.stores.memory import MemoryStore

        return MemoryStore(chunk, settings)
    raise ConfigError(
        f"no store at {masked(url)!r}: write redis://host:6379/0, rediss://host:6379/0, "
        "unix:///path/to/socket, redis-sentinel://host:26379/service, redis-cluster://host:6379, "
        "embedded://, disk:///path or memory://"
    )
