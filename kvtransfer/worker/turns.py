"""Calls on a few threads, each in its turn: the lowest number first, whenever it came."""

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
    turn: int
    number: int
    """Of two with the same turn the one that came first."""
    do: Callable[[], T] | None = field(compare=False)
    """None ends a thread."""
    result: Future[T] = field(compare=False, default_factory=Future)


class Turns(Generic[T]):
    """``threads`` threads; any thread may submit.

    Args:
        threads: calls at once.
        name: what the threads' names begin with.
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
        """From now on at least so many calls at once; for a call to do, or before the first."""
        with self._growing:
            for i in range(len(self._threads), threads):
                thread = Thread(target=self._serve, name=f"{self._name}_{i}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def submit(self, turn: int, do: Callable[[], T]) -> Future[T]:
        """Call ``do`` before what has a higher turn and has not begun; its callbacks run there."""
        call = _Call(turn, next(self._numbers), do)
        self._calls.put(call)
        return call.result

    def __len__(self) -> int:
        """Calls that wait for their turn."""
        return self._calls.qsize()

    def cancel(self) -> None:
        """Call nothing that has not begun."""
        with suppress(Empty):
            while True:
                self._calls.get_nowait().result.cancel()

    def close(self) -> None:
        """Cancel what has not begun and wait for what has; nobody may submit any more."""
        self.cancel()
        for _ in self._threads:
            self._calls.put(_Call(_LAST, next(self._numbers), None))
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (do := (call := self._calls.get()).do) is not None:
            try:
                value = do()
            except BaseException as error:  # noqa: BLE001 - goes to whoever waits
                self._failures.warn_unexpected("a fetch failed, its chunk is a miss", error)
                call.result.set_exception(error)
            else:
                call.result.set_result(value)
