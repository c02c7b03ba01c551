"""Defines what the Redis store needs of the servers that hold its entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kvtransfer.stores.circuit_breaker import BreakerSettings
    from kvtransfer.stores.redis.commands import Found
    from kvtransfer.stores.redis.wire.batch import Batch
    from kvtransfer.stores.redis.wire.read_buffer import Take
    from kvtransfer.stores.seals.seal import Sealed

    Begin = Callable[[Mapping[str, str] | None], Take]


class Servers(Protocol):
    """One server, or the nodes of a cluster; safe to use from several threads.

    Each method but ``close`` raises :class:`StoreError` when servers don't answer. Deadlines are by
    ``time.monotonic``; ``ttl_s`` is in seconds, None for no expiry.
    """

    @property
    def is_far(self) -> bool:
        """Whether a server is far away, as far as calls so far have shown."""
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
        """Look at both halves without reading the payload, and let both live for ``ttl_s``."""
        ...

    def read(
        self, key: str, buffer: memoryview, ttl_s: int | None, deadline_s: float, begin: Begin
    ) -> Found:
        """Probe as above, and read the payload into the front of ``buffer``, if it fits.

        ``begin`` is called with the record's fields before the payload arrives, and again where it
        has to be read again; what it returns takes the payload part by part.
        """
        ...

    def write(self, key: str, sealed: Sealed, ttl_s: int | None, deadline_s: float) -> None:
        """Write both halves over what was there; the record commits the payload.

        The payload is sealed part by part as it is sent, and then its record follows.
        """
        ...

    def remove(self, key: str, deadline_s: float) -> None:
        """Remove both halves."""
        ...

    def remove_all(self, keys: Sequence[str], deadline_s: float) -> None:
        """Remove both halves of the entries of all ``keys``."""
        ...

    def execute(self, name: bytes, batch: Batch, deadline_s: float) -> list[object] | None:
        """Return the replies to ``batch``, whose commands are all about ``name``.

        An error among them is raised. None stands for replies that are longer than allowed.
        """
        ...

    def records(self) -> Iterator[tuple[bytes, Mapping[str, str]]]:
        """Yield name and fields of each hash that is as small as a record."""
        ...

    def payloads(self) -> Iterator[list[str]]:
        """Yield the base keys of payloads, some at a time, whether or not they have a record."""
        ...

    def infos(self) -> Mapping[str, Mapping[str, str]]:
        """Return the fields of INFO of each server that takes entries; none where we may not ask."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
