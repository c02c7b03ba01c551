"""The latest answer to a question that may take long."""

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


class TopologyCache(Generic[T]):
    """``ask`` is asked in a thread of its own, once at a time; who waits for it has a deadline.

    So however long servers take to say who is where, no call takes longer than it may.
    """

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = Lock()
        self._answer: Future[T] | None = None
        self._asking: Future[T] | None = None
        self._thread: Thread | None = None
        self._asked_s = 0.0

    def get(self, deadline_s: float) -> T:
        """What was last answered; waits for the first answer.

        Raises:
            TimeoutError: of redis-py, when there is none by ``deadline_s``.
        """
        with self._lock:
            answer = self._answer or self._begin()
        return _result(answer, deadline_s)

    def renewed(self, deadline_s: float) -> T:
        """What is answered now; see ``get``."""
        with self._lock:
            asking = self._begin()
        return _result(asking, deadline_s)

    def renew(self) -> None:
        """Ask in the background, unless that was done a moment ago."""
        with self._lock:
            if time.monotonic() >= self._asked_s + _NOT_AGAIN_WITHIN_S:
                self._begin()

    def close(self) -> None:
        """Wait until nothing is asked any more, but not for silent servers."""
        if self._thread is not None:
            self._thread.join(_CLOSE_S)

    def _begin(self) -> Future[T]:
        if self._asking is None:
            asking: Future[T] = Future()
            self._asked_s = time.monotonic()
            self._thread = Thread(
                target=self._run, args=(asking,), name="kvtransfer-topology", daemon=True
            )
            self._thread.start()  # which fails where the process may have no more threads
            self._asking = asking
        return self._asking

    def _run(self, asking: Future[T]) -> None:
        try:
            answer = self._ask()
        except BaseException as error:  # noqa: BLE001 - goes to whoever waits
            with self._lock:
                self._asking = None
            asking.set_exception(error)
            return
        with self._lock:
            self._asking, self._answer = None, asking
        asking.set_result(answer)


def _result(answer: Future[T], deadline_s: float) -> T:
    try:
        return answer.result(timeout=max(deadline_s - time.monotonic(), 0))
    except NotInTimeError:
        if answer.done():  # the answer itself is that somebody was late
            raise
        raise TimeoutError("nobody has said in time where the servers are") from None
