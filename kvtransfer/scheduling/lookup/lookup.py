"""Remembers for each request which chunks the store holds, and where; for one thread.

The store is asked in the background, see :mod:`kvtransfer.scheduling.lookup.questions`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kvtransfer.scheduling.lookup.located import NOTHING, Located
from kvtransfer.scheduling.lookup.questions import Question, Questions
from kvtransfer.stores.open import open_tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from kvtransfer.chunks.keys import EntryKeys
    from kvtransfer.chunks.layout import Formats
    from kvtransfer.config import TransferConfig
    from kvtransfer.scheduling.lookup.questions import Tiers
    from kvtransfer.stores.shelf import Shelf


class Lookup:
    """Questions to ``store``, which it owns, by request.

    Args:
        store: a guarded store; what it can't answer is a miss, and so is what it raises.
        entry_keys: returns the store's keys of a chunk's shards, one for each rank; the chunk is
            there when all of them are.
        timeout_s: an answer that takes longer counts as misses.
        clock: seconds that never go back.
    """

    @classmethod
    def open(
        cls,
        config: TransferConfig,
        formats: Formats,
        names: EntryKeys,
        shelf: Shelf | None = None,
    ) -> Lookup | None:
        """A lookup in the store that ``config`` names; None where it names none.

        Args:
            config: the store, and how long an answer may take.
            formats: what every payload is.
            names: the keys of entries there.
            shelf: what ``memory://`` holds, shared with the executor.
        """
        store = open_tiers(config, formats, shelf=shelf)
        return None if store is None else cls(store, names.shards, config.lookup_timeout_ms / 1000)

    def __init__(
        self,
        store: Tiers,
        entry_keys: Callable[[str], Sequence[str]],
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._asker = Questions(store, entry_keys, timeout_s, clock)
        self._timeout_s = timeout_s
        self._clock = clock
        self._questions: dict[str, Question] = {}
        self._late = 0

    @property
    def tiers(self) -> tuple[str, ...]:
        """The names of the store's tiers, fastest first."""
        return self._asker.tiers

    @property
    def found(self) -> Mapping[str, str]:
        """A key that each tier was last seen to hold, by the tier's name."""
        return self._asker.found

    def ask(self, request_id: str, keys: Sequence[str]) -> None:
        """Begin to find out about ``keys``; this replaces an earlier question of the request."""
        self._questions[request_id] = self._asker.put(keys)

    def ask_when_known(self, request_id: str, keys: Future[Sequence[str]]) -> None:
        """Begin to find out about ``keys`` once another thread has worked them out."""
        self._questions[request_id] = self._asker.put_when_known(keys)

    def asked(self, request_id: str) -> bool:
        """Whether ``request_id`` has asked and not been forgotten."""
        return request_id in self._questions

    def answer(self, request_id: str) -> Located | None:
        """What the store holds of the keys asked about; None: not known yet."""
        question = self._questions[request_id]
        if question.answer.done():
            return question.answer.result()
        if self._clock() - question.asked_s < self._timeout_s:
            return None
        return self._give_up(request_id, question)

    def waited_s(self, request_id: str) -> float:
        """How long ago ``request_id`` asked."""
        return self._clock() - self._questions[request_id].asked_s

    def took_s(self, request_id: str) -> float:
        """How long the answer to ``request_id`` took, which is there."""
        return self._questions[request_id].took_s

    @property
    def is_waiting(self) -> bool:
        """Whether any question is open."""
        return any(not question.answer.done() for question in self._questions.values())

    def wait(self, keys: Sequence[str]) -> Located:
        """Ask about ``keys`` and wait for the answer, at most until it counts as misses."""
        try:
            return self._asker.put(keys).answer.result(self._timeout_s)
        except TimeoutError:
            self._late += 1
            return NOTHING

    def forget(self, request_id: str) -> None:
        """The request asks no more."""
        self._questions.pop(request_id, None)

    def take_answer_seconds(self) -> list[float]:
        """How long each of the last answers took, since the last call, awaited or not."""
        return self._asker.take_answer_seconds()

    def take_late(self) -> int:
        """How many questions were given up since the last call."""
        taken, self._late = self._late, 0
        return taken

    def close(self) -> None:
        """Ask no more, once the question under way has ended, and close the store."""
        self._asker.close()

    def _give_up(self, request_id: str, question: Question) -> Located:
        self._late += 1
        # The thread may yet answer this question, so another one takes its place.
        given_up = Question(question.asked_s, took_s=self.waited_s(request_id))
        given_up.answer.set_result(NOTHING)
        self._questions[request_id] = given_up
        return NOTHING
