"""Keeps feeds on the shelf of a memory store."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from kvtransfer.stores.feeds.interface import as_many, require_short

if TYPE_CHECKING:
    from kvtransfer.stores.shelf import Shelf

_MOST_PAYLOADS = 1024


class MemoryFeed:
    """Feeds on ``shelf``; see :class:`kvtransfer.stores.feeds.interface.Feed`."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def append(self, topic: str, payload: bytes) -> None:
        """See :class:`Feed`."""
        require_short(payload)
        with self._shelf.lock:
            kept = self._shelf.feeds.setdefault(topic, deque(maxlen=_MOST_PAYLOADS))
            kept.append((kept[-1][0] + 1 if kept else 1, payload))

    def reader(self, topic: str) -> MemoryFeedReader:
        """See :class:`Feed`."""
        return MemoryFeedReader(self._shelf, topic)

    def close(self) -> None:
        """See :class:`Feed`."""


class MemoryFeedReader:
    """Reads ``topic``; see :class:`kvtransfer.stores.feeds.interface.FeedReader`."""

    def __init__(self, shelf: Shelf, topic: str) -> None:
        self._shelf = shelf
        self._topic = topic
        self._last: int | None = None
        """The number of the last payload that was read; None before the first call."""

    def read(self, most_bytes: int) -> list[bytes]:
        """See :class:`FeedReader`."""
        with self._shelf.lock:
            kept = list(self._shelf.feeds.get(self._topic, ()))
        last = self._last
        if last is None:
            newest = as_many(reversed(kept), _nbytes, most_bytes)
            self._last = kept[-1][0] if kept else 0
            return [payload for _, payload in reversed(newest)]
        read = as_many((each for each in kept if each[0] > last), _nbytes, most_bytes)
        self._last = read[-1][0] if read else last
        return [payload for _, payload in read]


def _nbytes(kept: tuple[int, bytes]) -> int:
    return len(kept[1])
