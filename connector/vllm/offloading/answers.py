"""Says for each request which rows the store holds, by questions that are asked in the background."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kvtransfer.scheduling.lookup.located import NOTHING
from kvtransfer.scheduling.lookup.questions import Question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kvtransfer.connector.vllm.offloading.row_names import RowNames
    from kvtransfer.scheduling.lookup.questions import Questions

_Asked = dict[bytes, Question | None]
"""The question that each key of a request is in; None: the next one."""


class Answers:
    """What ``questions``, which it owns, have come to; for one thread.

    A request asks for each key once, and keeps the answer until it is forgotten.

    Args:
        questions: asks the store.
        names: the base keys of rows.
        timeout_s: an answer that takes longer is a miss.
        clock: the one of ``questions``.
    """

    def __init__(
        self,
        questions: Questions,
        names: RowNames,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._questions = questions
        self._names = names
        self._timeout_s = timeout_s
        self._clock = clock
        self._requests: dict[str, _Asked] = {}
        self._new: dict[str, list[bytes]] = {}

    def holds(self, request_id: str, key: bytes) -> bool | None:
        """Whether the store holds the row of ``key``; None: not known yet, ask after ``ask``."""
        asked = self._requests.setdefault(request_id, {})
        if key not in asked:
            asked[key] = None
            self._new.setdefault(request_id, []).append(key)
        question = asked[key]
        if question is None:
            return None
        if question.answer.done():
            return self._names(key) in question.answer.result()
        return None if self._clock() - question.asked_s < self._timeout_s else False

    def ask(self) -> None:
        """Ask about the keys that ``holds`` was asked for since the last call."""
        for request_id, keys in self._new.items():
            question = self._questions.put([self._names(key) for key in keys])
            self._requests[request_id].update(dict.fromkeys(keys, question))
        self._new.clear()

    def miss(self, keys: Iterable[bytes]) -> None:
        """The rows of ``keys`` could not be loaded: no request under way is to try them again."""
        missing = _missing()
        for key in keys:
            for asked in self._requests.values():
                if asked.get(key) is not None:
                    asked[key] = missing

    def forget(self, request_id: str) -> None:
        """The request asks no more."""
        self._requests.pop(request_id, None)
        self._new.pop(request_id, None)

    def rename(self, names: RowNames) -> None:
        """Forget every answer; from now on rows have other names."""
        self._names = names
        self._requests.clear()
        self._new.clear()

    def close(self) -> None:
        """Ask no more, once the question under way has ended."""
        self._questions.close()


def _missing() -> Question:
    question = Question(0.0)
    question.answer.set_result(NOTHING)
    return question
