"""Asks the store in the background which chunks it holds, many questions in one batch.

Threads: a question belongs to the one that asks the store from the queue on, until it has set the
answer, which it does once. Any thread may put a question into the queue.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Protocol

from kvtransfer.rare_log import RareLog
from kvtransfer.scheduling.lookup.located import NOTHING, Located

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_REMEMBERED = 64
# Questions that go to the store in one batch.
_AT_ONCE = 32


class Tiers(Protocol):
    """A store that knows where it has an entry, see :class:`kvtransfer.stores.tiered.TieredStore`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tiers, fastest first."""
        ...

    def locate(self, keys: Sequence[str]) -> list[str | None]:
        """For each key, in order, the name of the fastest tier that has it; None: no tier has."""
        ...

    def close(self) -> None:
        """Give back what the store holds open."""
        ...


@dataclass
class Question:
    """One question about some keys."""

    asked_s: float
    answer: Future[Located] = field(default_factory=Future)
    took_s: float = 0.0
    """How long the answer took, once it is there."""


_Asked = tuple[Question, "Sequence[str]"]


class Questions:
    """Asks ``store``, which it owns, on a thread of its own.

    Args:
        store: what it can't answer, and what it raises, is a miss.
        entry_keys: returns the store's keys of the shards of a chunk, one for each rank; the chunk
            is there when all shards are, in the slowest tier that has one of them.
        timeout_s: a question that has waited longer is not asked any more.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        store: Tiers,
        entry_keys: Callable[[str], Sequence[str]],
        timeout_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.tiers = store.names
        """The names of the store's tiers, fastest first."""
        self.found: Mapping[str, str] = {}
        """A key that each tier was last seen to hold; the thread replaces it as a whole."""
        self._store = store
        self._depths = {name: depth for depth, name in enumerate(self.tiers)}
        self._entry_keys = entry_keys
        self._timeout_s = timeout_s
        self._clock = clock
        self._answer_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._failures = RareLog()
        self._thread = Thread(target=self._answer_all, name="kvtransfer-lookup", daemon=True)
        self._thread.start()

    def put(self, keys: Sequence[str]) -> Question:
        """Ask about ``keys``."""
        question = Question(self._clock())
        self._queue.put((question, list(keys)))
        return question

    def put_when_known(self, keys: Future[Sequence[str]]) -> Question:
        """Ask about ``keys`` once another thread has worked them out."""
        question = Question(self._clock())

        def put(known: Future[Sequence[str]]) -> None:
            if not known.cancelled():
                self._queue.put((question, [] if known.exception() else known.result()))

        keys.add_done_callback(put)
        return question

    def take_answer_seconds(self) -> list[float]:
        """How long each of the last answers took, since the last call."""
        return [self._answer_s.popleft() for _ in range(len(self._answer_s))]

    def close(self) -> None:
        """End the thread, after the question it is at, and close the store."""
        self._queue.put(None)
        self._thread.join()

    def _answer_all(self) -> None:
        with closing(self._store):
            while batch := self._next():
                self._survive(batch)

    def _survive(self, batch: Sequence[_Asked]) -> None:
        try:
            self._answer(batch)
        except BaseException as error:  # noqa: BLE001 - later questions are to be answered
            self._failures.warn_unexpected("a lookup failed, its chunks are misses", error)
            for question, _ in batch:
                if not question.answer.done():
                    question.answer.set_result(NOTHING)

    def _next(self) -> list[_Asked]:
        """All questions asked meanwhile, at least one; none at the end."""
        batch: list[_Asked] = []
        asked = self._queue.get()
        while asked is not None:
            batch.append(asked)
            if len(batch) == _AT_ONCE or self._queue.empty():
                return batch
            asked = self._queue.get()
        if batch:
            self._queue.put(None)  # the end, once these are answered
        return batch

    def _answer(self, batch: Sequence[_Asked]) -> None:
        now_s = self._clock()
        awaited = [keys for question, keys in batch if now_s - question.asked_s < self._timeout_s]
        located = self._locate(list(dict.fromkeys(chain.from_iterable(awaited))))
        for question, keys in batch:
            answer = located.only(keys)
            self.found = {**self.found, **answer.samples()}
            question.took_s = self._clock() - question.asked_s
            self._answer_s.append(question.took_s)
            question.answer.set_result(answer)

    def _locate(self, keys: Sequence[str]) -> Located:
        if not keys:
            return NOTHING
        shards = [self._entry_keys(key) for key in keys]
        tiers = iter(self._store.locate(list(chain.from_iterable(shards))))
        found = (
            (key, [next(tiers) for _ in names]) for key, names in zip(keys, shards, strict=True)
        )
        return Located(
            {key: tier for key, of_shards in found if (tier := self._slowest(of_shards))}
        )

    def _slowest(self, tiers: Sequence[str | None]) -> str | None:
        """The slowest of ``tiers``; None if one is missing."""
        held = [tier for tier in tiers if tier is not None]
        return max(held, key=self._depths.__getitem__) if len(held) == len(tiers) else None
