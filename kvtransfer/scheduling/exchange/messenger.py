"""Appends announcements to a feed and reads those of others; for one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from kvtransfer.passages.announcement import as_token_ids, decode, encode
from kvtransfer.scheduling.exchange.known import Known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from kvtransfer.passages.space import Space
    from kvtransfer.scheduling.exchange.counts import ExchangeCounts
    from kvtransfer.scheduling.exchange.inbox import Learned
    from kvtransfer.stores.feeds.guarded import GuardedFeed
    from kvtransfer.stores.feeds.interface import FeedReader

    TokenIds: TypeAlias = Sequence[int] | NDArray[np.int32]

_MOST_KNOWN = 8192
_MOST_READERS = 64
_READ_BYTES = 16 << 20


class Messenger:
    """Announces and learns over ``feed``, by the space's digest, and ``counts`` what it does.

    Announcements read back are known, and so are those that repeat what was learned.
    """

    def __init__(self, feed: GuardedFeed, counts: ExchangeCounts) -> None:
        self._feed = feed
        self._counts = counts
        self._known = Known(_MOST_KNOWN)
        self._readers: dict[Space, FeedReader] = {}
        """Readers by space, least recently used first."""

    def append(self, space: Space, token_ids: TokenIds) -> None:
        """Announce ``token_ids``, unless they are known."""
        try:
            ids = as_token_ids(token_ids)
        except ValueError:
            self._counts.malformed += 1
            return
        if self._known.has(space, ids):
            self._counts.repeated += 1
        elif self._feed.append(space.digest.hex(), encode(space, ids)):
            self._known.note(space, ids)
            self._counts.published += 1
        else:
            self._counts.unsent += 1

    def read(self, space: Space, learn: Callable[[Learned], None]) -> None:
        """Read what was announced in ``space`` since the last call; ``learn`` takes what is new.

        The first call reads the newest announcements.
        """
        for payload in self._feed.read(self._reader(space), _READ_BYTES):
            for learned in self._new(space, payload):
                self._counts.learned += 1
                learn(learned)

    def close(self) -> None:
        """Close the feed."""
        self._feed.close()

    def _reader(self, space: Space) -> FeedReader:
        reader = self._readers.pop(space, None) or self._feed.reader(space.digest.hex())
        self._readers[space] = reader
        if len(self._readers) > _MOST_READERS:
            del self._readers[next(iter(self._readers))]
        return reader

    def _new(self, space: Space, payload: bytes) -> Iterator[Learned]:
        """Yield what ``payload`` announces in ``space``, if that is new."""
        try:
            announced, token_ids = decode(payload)
        except ValueError:
            self._counts.malformed += 1
            return
        if announced != space:
            self._counts.malformed += 1
        elif self._known.note(space, token_ids):
            yield space, token_ids
