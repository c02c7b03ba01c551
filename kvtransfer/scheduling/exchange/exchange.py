"""Exchanges announcements of saved sequences with other processes, over a feed of their store.

Threads: the scheduler's thread publishes, follows and takes, all instant. A thread of the exchange
alone uses the feed. Token ids are what users have written, so no log line quotes them.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from functools import partial
from threading import Condition, Thread
from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.passages.announcement import MOST_TOKENS
from kvtransfer.rare_log import RareLog
from kvtransfer.scheduling.exchange.counts import ExchangeCounts
from kvtransfer.scheduling.exchange.followed import Followed
from kvtransfer.scheduling.exchange.inbox import Inbox
from kvtransfer.scheduling.exchange.messenger import Messenger
from kvtransfer.stores.feeds.guarded import GuardedFeed
from kvtransfer.stores.feeds.open import open_feed

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.config import TransferConfig
    from kvtransfer.passages.space import Space
    from kvtransfer.scheduling.exchange.inbox import Learned
    from kvtransfer.scheduling.exchange.messenger import TokenIds
    from kvtransfer.stores.feeds.interface import Feed
    from kvtransfer.stores.shelf import Shelf

    _Outgoing = tuple[Space, TokenIds]

_POLL_S = 1.0
_UNUSED_S = 600.0
_MOST_SPACES = 64
_MOST_OUTGOING = 64
_INBOX_BYTES = 64 << 20
# What is queued when the exchange is closed may still be appended for this time.
_CLOSE_S = 2.0


class Exchange:
    """Announces and learns over ``feed``, which it owns, on a thread of its own.

    A store that is dead, slow or full costs announcements, and nothing else.

    Args:
        feed: where announcements are appended and read, by the space's digest.
        poll_s: time between two readings of one space.
        most_outgoing: announcements that may wait to be appended.
        clock: seconds that never go back.
    """

    @classmethod
    def open(cls, config: TransferConfig, shelf: Shelf | None = None) -> Exchange | None:
        """An exchange over the stores that ``config`` names; None where it names none.

        The remote store carries it, or the local folder where there is no remote store.

        Args:
            config: the stores.
            shelf: what ``memory://`` holds, shared with the executor.

        Raises:
            ConfigError: the URL is malformed, or a key file can't be used.
        """
        feed = open_feed(config, shelf)
        return None if feed is None else cls(feed)

    def __init__(
        self,
        feed: Feed,
        *,
        poll_s: float = _POLL_S,
        most_outgoing: int = _MOST_OUTGOING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = ExchangeCounts()
        """What it has done so far; any thread may read it."""
        self._told: dict[str, int] = {}
        self._feed = GuardedFeed(feed, clock)
        self._messenger = Messenger(self._feed, self.counts)
        self._most_outgoing = most_outgoing
        self._clock = clock
        self._changed = Condition()
        """Held for access to the next five; notified when the thread has something to do."""
        self._outgoing: deque[_Outgoing] = deque()
        self._followed = Followed(_MOST_SPACES, poll_s, _UNUSED_S)
        self._inbox = Inbox(_INBOX_BYTES)
        self._awaited: set[Space] = set()
        self._is_closing = False
        self._faults = RareLog(clock)
        self._thread = Thread(target=self._run, name="kvtransfer-exchange", daemon=True)
        self._thread.start()

    @property
    def failures(self) -> int:
        """Calls that the store did not answer."""
        return self._feed.failures

    def publish(self, space: Space, token_ids: TokenIds) -> None:
        """Announce that ``token_ids`` were saved in ``space``, from a request's first token on.

        What was announced or learned lately isn't announced again. The announcement is dropped
        where the queue is full. Tokens beyond the first ``MOST_TOKENS`` are left out.

        Args:
            space: whose they are.
            token_ids: one dimension, integers in ``[0, 2**31)``; copied here.
        """
        with self._changed:
            if self._is_closing or len(self._outgoing) >= self._most_outgoing:
                self.counts.dropped += 1
                return
            self._outgoing.append((space, _copied(token_ids)))
            self._changed.notify()

    def follow(self, space: Space) -> None:
        """Note that a request of ``space`` is here: read what others have saved, now and later.

        The least recently used space is forgotten where there are many, and one that hasn't been
        used for ten minutes isn't read until it is used again.
        """
        with self._changed:
            if self._followed.use(space, self._clock()):
                if len(self._awaited) >= _MOST_SPACES:
                    self._awaited.clear()  # those that were forgotten unread
                self._awaited.add(space)
                self._changed.notify()

    def is_awaited(self, space: Space) -> bool:
        """Whether the first reading of ``space``, which is followed, has not ended yet."""
        with self._changed:
            return space in self._awaited

    def take(self) -> list[Learned]:
        """Return what other processes have announced, read since the last call.

        Returns:
            The space, and int32 token ids of one dimension that nothing writes to, oldest first.
        """
        with self._changed:
            return self._inbox.take()

    def take_counted(self) -> dict[str, int]:
        """What was counted since the last call, by metric."""
        counted = self.counts.by_metric()
        before, self._told = self._told, counted
        return {name: count - before.get(name, 0) for name, count in counted.items()}

    def close(self) -> None:
        """End the thread once it has appended what is queued, and close the feed.

        It appends for two seconds, and then ends the call that is under way.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        with closing(self._messenger):
            while not self._is_closing:
                outgoing, due = self._next()
                if outgoing is not None:
                    self._survive(partial(self._messenger.append, *outgoing))
                for space in due:
                    self._survive(partial(self._messenger.read, space, self._learn))
                    with self._changed:
                        self._awaited.discard(space)
            self._append_last()

    def _append_last(self) -> None:
        deadline_s = self._clock() + _CLOSE_S
        while self._outgoing and self._clock() < deadline_s:
            self._survive(partial(self._messenger.append, *self._outgoing.popleft()))

    def _next(self) -> tuple[_Outgoing | None, list[Space]]:
        """Wait for something to do; return what to append, and which spaces to read."""
        with self._changed:
            while not self._is_closing:
                due = self._followed.begin_due(self._clock())
                if self._outgoing or due:
                    return self._outgoing.popleft() if self._outgoing else None, due
                self._changed.wait(self._followed.wait_s(self._clock()))
        return None, []

    def _learn(self, learned: Learned) -> None:
        with self._changed:
            self.counts.overflowed += self._inbox.add(learned)

    def _survive(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - later announcements are to be exchanged
            self._faults.warn_unexpected("passages: a fault of kvtransfer, please report it", error)


def _copied(token_ids: TokenIds) -> TokenIds:
    """Copy the first ``MOST_TOKENS`` of ``token_ids``."""
    first = token_ids[:MOST_TOKENS]
    return first.copy() if isinstance(first, np.ndarray) else first  # a slice is a copy already
