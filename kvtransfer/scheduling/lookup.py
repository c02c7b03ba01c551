"""Which chunks does the store hold? Asked in the background, remembered for each request.

Threads: the caller's owns the questions' table; the one that asks owns a question from the queue
on until it has set its answer, which it does once. Who works out keys puts them in the queue.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from kvtransfer.rare_log import RareLog
from kvtransfer.stores.open import open_tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Set

    from kvtransfer.chunks.keys import Names
    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.config import TransferConfig
    from kvtransfer.stores.interface import ChunkStore
    from kvtransfer.stores.shelf import Shelf


_REMEMBERED = 64
# Questions that go to the store in one batch.
_AT_ONCE = 32


@dataclass(frozen=True)
class _Question:
    asked_s: float
    answer: Future[Set[str]] = field(default_factory=Future)


_Asked = tuple[_Question, Sequence[str]]


class Lookup:
    """Asks ``store``, which it owns, on a thread of its own.

    Args:
        store: a guarded store; what it can't answer is a miss, and so is what it raises.
        names: the base keys under which the shards of a chunk are stored, one for each rank; the
            chunk is there when all of them are.
        timeout_s: an answer that takes longer counts as misses.
        clock: seconds that never go back.
    """

    @classmethod
    def open(
        cls,
        config: TransferConfig,
        chunk: ChunkFormat,
        names: Names,
        shelf: Shelf | None = None,
    ) -> Lookup | None:
        """For the store that ``config`` names; None where it names none.

        Args:
            config: the store, and how long an answer may take.
            chunk: what every payload is.
            names: what chunks are called there.
            shelf: what ``memory://`` holds, shared with the executor.
        """
        store = open_tiers(config, chunk, shelf=shelf)
        return None if store is None else cls(store, names.shards, config.lookup_timeout_ms / 1000)

    def __init__(
        self,
        store: ChunkStore,
        names: Callable[[str], Sequence[str]],
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.found: str | None = None
        """A key that the store was last seen to hold."""
        self._late = 0
        self._answer_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._store = store
        self._names = names
        self._timeout_s = timeout_s
        self._clock = clock
        self._questions: dict[str, _Question] = {}
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._failures = RareLog()
        self._thread = Thread(target=self._answer_all, name="kvtransfer-lookup", daemon=True)
        self._thread.start()

    def ask(self, request_id: str, keys: Sequence[str]) -> None:
        """Begin to find out about ``keys``; a request that has asked already asks anew."""
        self._questions[request_id] = self._put(keys)

    def ask_when_known(self, request_id: str, keys: Future[list[str]]) -> None:
        """The same about ``keys`` that another thread is still working out."""
        question = self._questions[request_id] = _Question(self._clock())

        def put(known: Future[list[str]]) -> None:
            if not known.cancelled():
                keys = [] if known.exception() else known.result()
                self._queue.put((question, keys))

        keys.add_done_callback(put)

    def asked(self, request_id: str) -> bool:
        """Whether ``request_id`` has asked and not been forgotten."""
        return request_id in self._questions

    def answer(self, request_id: str) -> Set[str] | None:
        """Those of the keys asked about that the store holds; None: not known yet."""
        question = self._questions[request_id]
        if question.answer.done():
            return question.answer.result()
        if self._clock() - question.asked_s < self._timeout_s:
            return None
        return self._give_up(request_id, question)

    def waited_s(self, request_id: str) -> float:
        """For how long ``request_id``, which has asked, could have had its answer."""
        return self._clock() - self._questions[request_id].asked_s

    @property
    def is_waiting(self) -> bool:
        """Whether any question is open."""
        return any(not question.answer.done() for question in self._questions.values())

    def wait(self, keys: Sequence[str]) -> Set[str]:
        """Ask about ``keys`` and wait for the answer, at most until it counts as misses."""
        try:
            return self._put(keys).answer.result(self._timeout_s)
        except TimeoutError:
            self._late += 1
            return frozenset()

    def forget(self, request_id: str) -> None:
        """The request asks no more."""
        self._questions.pop(request_id, None)

    def take_answer_seconds(self) -> list[float]:
        """How long the last answers took, of those since the last call; awaited or not."""
        return [self._answer_s.popleft() for _ in range(len(self._answer_s))]

    def take_late(self) -> int:
        """How many questions were given up since the last call."""
        taken, self._late = self._late, 0
        return taken

    def close(self) -> None:
        """End the thread, after the question it is at, and close the store."""
        self._queue.put(None)
        self._thread.join()

    def _put(self, keys: Sequence[str]) -> _Question:
        question = _Question(self._clock())
        self._queue.put((question, list(keys)))
        return question

    def _give_up(self, request_id: str, question: _Question) -> Set[str]:
        self._late += 1
        # Another one in its place: the thread may yet answer this.
        given_up = _Question(question.asked_s)
        given_up.answer.set_result(frozenset())
        self._questions[request_id] = given_up
        return frozenset()

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
                    question.answer.set_result(frozenset())

    def _next(self) -> list[_Asked]:
        """All that have been asked meanwhile, at least one; none at the end."""
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
        found = self._find(list(dict.fromkeys(chain.from_iterable(awaited))))
        for question, keys in batch:
            held = found.intersection(keys)
            self.found = next(iter(held), self.found)
            self._answer_s.append(self._clock() - question.asked_s)
            question.answer.set_result(held)

    def _find(self, keys: Sequence[str]) -> frozenset[str]:
        if not keys:
            return frozenset()
        shards = {key: self._names(key) for key in keys}
        asked = list(chain.from_iterable(shards.values()))
        held = dict(zip(asked, self._store.contains(asked), strict=True))
        return frozenset(key for key, names in shards.items() if all(held[name] for name in names))
