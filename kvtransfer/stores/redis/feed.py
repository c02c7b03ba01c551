"""Keeps feeds in Redis streams, one for each topic, on a server or in a cluster.

Listings of entries scan for hashes, so they never see a stream. A server that evicts drops a
topic's stream as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.errors import PartError
from kvtransfer.stores.feeds.interface import MOST_PAYLOAD_BYTES, require_short
from kvtransfer.stores.redis.stream import (
    BEGIN,
    append,
    appended,
    newest,
    next_after,
    stream_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.stores.redis.servers import Servers
    from kvtransfer.stores.redis.stream import Appended
    from kvtransfer.stores.redis.wire.batch import Batch

    _Ask = Callable[[bytes, bytes | None, int], Batch]

# A topic that no process has appended to goes after this time, where entries have no time to live.
_UNUSED_S = 7 * 24 * 3600
_MOST_AT_ONCE = 32
_MOST_REPLIES = 64
# What each payload counts for at least, so that empty ones come to an end.
_OVERHEAD_BYTES = 64


class RedisFeed:
    """Feeds on ``servers``, which it owns; see :class:`kvtransfer.stores.feeds.interface.Feed`.

    ``ttl_s`` is the time, in seconds, that a topic lives after its last payload; None: a week.
    """

    def __init__(self, servers: Servers, ttl_s: int | None) -> None:
        self._servers = servers
        self._ttl_s = _UNUSED_S if ttl_s is None else ttl_s

    def append(self, topic: str, payload: bytes) -> None:
        """See :class:`Feed`."""
        require_short(payload)
        name = stream_name(topic)
        self._servers.execute(name, append(name, payload, self._ttl_s), self._servers.begin())

    def reader(self, topic: str) -> RedisFeedReader:
        """See :class:`Feed`."""
        return RedisFeedReader(self._servers, stream_name(topic))

    def close(self) -> None:
        """See :class:`Feed`."""
        self._servers.close()


class RedisFeedReader:
    """Reads the stream ``name``; see :class:`kvtransfer.stores.feeds.interface.FeedReader`."""

    def __init__(self, servers: Servers, name: bytes) -> None:
        self._servers = servers
        self._name = name
        self._last: bytes | None = None
        """The id of the last payload that was read; None before the first call."""
        self._at_once = _MOST_AT_ONCE
        """Payloads to ask for in one reply, whose length is limited."""

    def read(self, most_bytes: int) -> list[bytes]:
        """See :class:`FeedReader`."""
        if self._last is None:
            read = self._read(newest, None, most_bytes)[::-1]
        else:
            read = self._read(next_after, self._last, most_bytes)
        self._last = read[-1].id if read else self._last or BEGIN
        return [each.payload for each in read if 0 < len(each.payload) <= MOST_PAYLOAD_BYTES]

    def _read(self, ask: _Ask, last: bytes | None, most_bytes: int) -> list[Appended]:
        """Return what follows the id ``last``, in the order of the replies to ``ask``."""
        read: list[Appended] = []
        left_bytes = most_bytes
        for _ in range(_MOST_REPLIES):
            some = self._ask(ask, last)
            for each in some:
                left_bytes -= len(each.payload) + _OVERHEAD_BYTES
                if left_bytes < 0 and read:
                    return read
                read.append(each)
            if not some:
                return read
            last = read[-1].id
        return read

    def _ask(self, ask: _Ask, last: bytes | None) -> list[Appended]:
        """Ask for as many payloads as one reply may have; a reply that is too long for fewer."""
        while True:
            batch = ask(self._name, last, self._at_once)
            replies = self._servers.execute(self._name, batch, self._servers.begin())
            if replies is not None:
                self._at_once = min(2 * self._at_once, _MOST_AT_ONCE)
                return appended(replies[0])
            if self._at_once == 1:
                raise PartError(f"{self._name.decode()} has a payload that is too long to be read")
            self._at_once //= 2
