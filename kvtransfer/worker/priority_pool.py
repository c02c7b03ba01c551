"""Runs calls on a few threads, the one with the lowest priority number first."""

from __future__ import annotations

import itertools
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, PriorityQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from kvtransfer.rare_log import RareLog

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_LAST = 1 << 62


@dataclass(order=True)
class _Call(Generic[T]):
    priority: int
    number: int
    """Orders calls of one priority by their submission."""
    do: Callable[[], T] | None = field(compare=False)
    """None ends a thread."""
    result: Future[T] = field(compare=False, default_factory=Future)


class PriorityPool(Generic[T]):
    """Runs calls on ``threads`` threads; any thread may submit.

    Args:
        threads: how many calls run at once.
        name: the threads' names are ``{name}_0``, ``{name}_1`` and so on.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._calls: PriorityQueue[_Call[T]] = PriorityQueue()
        self._numbers = itertools.count()
        self._name = name
        self._threads: list[Thread] = []
        self._growing = Lock()
        self._failures = RareLog()
        self.widen(threads)

    def widen(self, threads: int) -> None:
        """Run at least ``threads`` calls at once from now on; not after ``close``."""
        with self._growing:
            for i in range(len(self._threads), threads):
                thread = Thread(target=self._serve, name=f"{self._name}_{i}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def submit(self, priority: int, do: Callable[[], T]) -> Future[T]:
        """Run ``do`` before all calls of a higher ``priority`` number that have not begun.

        The future's callbacks run on the thread that ran ``do``.
        """
        call = _Call(priority, next(self._numbers), do)
        self._calls.put(call)
        return call.result

    def __len__(self) -> int:
        """Return how many calls have not begun."""
        return self._calls.qsize()

    def cancel(self) -> None:
        """Cancel the calls that have not begun."""
        with suppress(Empty):
            while True:
                self._calls.get_nowait().result.cancel()

    def close(self) -> None:
        """Cancel the calls that have not begun, wait for the others and end the threads.

        No thread may submit any more.
        """
        self.cancel()
        for _ in self._threads:
            self._calls.put(_Call(_LAST, next(self._numbers), None))
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (do := (call := self._calls.get()).do) is not None:
            try:
                value = do()
            except BaseException as error:  # noqa: BLE001 - it belongs to the future's reader
                self._failures.warn_unexpected("a fetch failed, its chunk is a miss", error)
                call.result.set_exception(error)
            else:
                call.result.set_result(value)
