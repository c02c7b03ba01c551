"""Defines feeds: payloads by topic, which processes append to a store and read in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

MOST_PAYLOAD_BYTES = 5 << 20
"""Most bytes of one payload; a feed takes no longer one, and skips those that it finds."""


class FeedReader(Protocol):
    """Reads one topic from the newest payloads on; one thread at a time uses it."""

    def read(self, most_bytes: int) -> list[bytes]:
        """Return payloads that no earlier call has returned, oldest first.

        The first call returns the newest of those that are there, later calls what follows. A call
        that raises has read nothing.

        Args:
            most_bytes: payloads of more than this together are left for later calls, or out by the
                first call; one payload is always returned.

        Raises:
            StoreError: the store can't answer.
        """
        ...


class Feed(Protocol):
    """Keeps the latest payloads of each topic, a bounded number; safe to call from several threads.

    A topic is 1 to 64 hexadecimal digits. Payloads may get lost, and anybody who can write to the
    store may add some.
    """

    def append(self, topic: str, payload: bytes) -> None:
        """Add ``payload`` to ``topic``; old payloads go.

        Raises:
            StoreError: the store can't answer, or takes nothing.
            ValueError: ``payload`` is longer than ``MOST_PAYLOAD_BYTES``.
        """
        ...

    def reader(self, topic: str) -> FeedReader:
        """Make a reader of ``topic``; this asks nothing of the store."""
        ...

    def close(self) -> None:
        """Close what the feed holds open; no other call may be running or follow."""
        ...


def require_short(payload: bytes) -> None:
    """Check the length of ``payload``.

    Raises:
        ValueError: it is longer than ``MOST_PAYLOAD_BYTES``.
    """
    if len(payload) > MOST_PAYLOAD_BYTES:
        raise ValueError(f"a payload of {len(payload)} bytes; a feed takes {MOST_PAYLOAD_BYTES}")


def as_many(items: Iterable[T], nbytes: Callable[[T], int], most_bytes: int) -> list[T]:
    """Return as many of the first ``items`` as have ``most_bytes`` together, at least one."""
    taken: list[T] = []
    for item in items:
        most_bytes -= nbytes(item)
        if most_bytes < 0 and taken:
            break
        taken.append(item)
    return taken
