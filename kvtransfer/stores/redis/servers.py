"""Defines what the Redis store needs of the servers that hold its entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kvtransfer.stores.circuit_breaker import BreakerSettings
    from kvtransfer.stores.redis.commands import Found


class Servers(Protocol):
    """Where the two halves of entries lie; both kinds raise :class:`StoreError` when they fail."""

    @property
    def is_far(self) -> bool:
        """Whether a server is, as far as calls so far have shown."""
        ...

    @property
    def breaker_settings(self) -> BreakerSettings:
        """See :class:`Store`."""
        ...

    def open_breakers(self) -> int:
        """See :class:`Store`."""
        ...

    def begin(self) -> float:
        """Return the deadline of a call that begins now, by ``time.monotonic``."""
        ...

    def contain(self, keys: Sequence[str], deadline_s: float) -> list[bool]:
        """Say for each key whether both halves are there."""
        ...

    def probe(self, key: str, ttl_s: int | None, deadline_s: float) -> Found:
        """Look at both halves without reading the payload; their time to live begins anew."""
        ...

    def read(self, key: str, buffer: memoryview, ttl_s: int | None, deadline_s: float) -> Found:
        """Look at both halves and read the payload into ``buffer``; as for ``probe``."""
        ...

    def write(
        self,
        key: str,
        payload: memoryview,
        fields: Mapping[str, str],
        ttl_s: int | None,
        deadline_s: float,
    ) -> None:
        """Write both halves, whatever was there; the record commits the payload."""
        ...

    def remove(self, key: str, deadline_s: float) -> None:
        """Remove both halves."""
        ...

    def records(self) -> Iterator[tuple[bytes, Mapping[str, str]]]:
        """List all hashes, each with its name and fields; those that are too large are left out."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
