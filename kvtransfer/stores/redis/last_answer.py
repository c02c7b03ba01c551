"""Keeps the last answer to a slow question; a thread asks, and callers wait no longer than they may."""

from __future__ import annotations

import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTimeError
from threading import Lock, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from redis.exceptions import TimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_NOT_AGAIN_WITHIN_S = 0.25
_CLOSE_S = 5.0


class LastAnswer(Generic[T]):
    """The last answer of ``ask``, which is called in a thread, once at a time.

    Callers wait for an answer until their deadline, by ``time.monotonic``, however long ``ask``
    takes. Safe to use from several threads.

    Args:
        ask: returns the answer; what it raises is raised in the callers that wait for it.
        late: the sentence for a caller whose deadline passes first.
    """

    def __init__(self, ask: Callable[[], T], late: str) -> None:
        self._ask = ask
        self._late = late
        self._lock = Lock()
        self._answer: Future[T] | None = None
        self._asking: Future[T] | None = None
        self._thread: Thread | None = None
        self._asked_s = 0.0

    def get(self, deadline_s: float) -> T:
        """Return the last answer; wait for the first one.

        Raises:
            TimeoutError: redis-py's, where there is no answer by ``deadline_s``.
            Exception: what the first ``ask`` raised.
        """
        with self._lock:
            answer = self._answer or self._begin()
        return self._result(answer, deadline_s)

    def renewed(self, deadline_s: float) -> T:
        """Ask again and return the new answer; raises as ``get`` does."""
        with self._lock:
            asking = self._begin()
        return self._result(asking, deadline_s)

    def renew(self) -> None:
        """Ask again in the background, unless that was done a moment ago."""
        with self._lock:
            if time.monotonic() >= self._asked_s + _NOT_AGAIN_WITHIN_S:
                self._begin()

    def close(self) -> None:
        """Wait for the thread, for some seconds at most, as who is asked may be silent."""
        if self._thread is not None:
            self._thread.join(_CLOSE_S)

    def _begin(self) -> Future[T]:
        if self._asking is None:
            asking: Future[T] = Future()
            self._asked_s = time.monotonic()
            self._thread = Thread(
                target=self._run, args=(asking,), name="kvtransfer-asking", daemon=True
            )
            self._thread.start()  # raises where the process may have no more threads
            self._asking = asking
        return self._asking

    def _run(self, asking: Future[T]) -> None:
        try:
            answer = self._ask()
        except BaseException as error:  # noqa: BLE001 - raised in the callers that wait
            with self._lock:
                self._asking = None
            asking.set_exception(error)
            return
        with self._lock:
            self._asking, self._answer = None, asking
        asking.set_result(answer)

    def _result(self, answer: Future[T], deadline_s: float) -> T:
        try:
            return answer.result(timeout=max(deadline_s - time.monotonic(), 0))
        except NotInTimeError:
            if answer.done():  # ``ask`` itself has raised it
                raise
            raise TimeoutError(self._late) from None
