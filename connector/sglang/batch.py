"""Moves the pages of a batch on a few threads, within a time."""

from __future__ import annotations

import time
from concurrent.futures import wait
from functools import partial
from typing import TYPE_CHECKING

from kvtransfer.worker.priority_pool import PriorityPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

_READ, _WRITE = 0, 1


class Batches:
    """Runs calls that move one page each; reads go before writes.

    Args:
        threads: how many pages move at once.
        begin_within_s: a call that hasn't begun by then, counted from its batch, is given up.
    """

    def __init__(self, threads: int, begin_within_s: float) -> None:
        self._threads: PriorityPool[bool] = PriorityPool(threads, "kvtransfer-page")
        self._begin_within_s = begin_within_s

    def widen(self, threads: int) -> None:
        """Move at least ``threads`` pages at once from now on."""
        self._threads.widen(threads)

    def read(self, fills: Sequence[Callable[[], bool]]) -> list[bool]:
        """Call each of ``fills``; returns what each said.

        Pages are of use up to the first miss, so calls behind one that has not begun are given up.
        When this returns, none of them writes to memory any more.
        """
        return self._run(_READ, fills)

    def write(self, puts: Sequence[Callable[[], bool]]) -> list[bool]:
        """Do the same for calls that store pages: SGLang drops what follows one that isn't stored."""
        return self._run(_WRITE, puts)

    def close(self) -> None:
        """End the threads; no batch is under way."""
        self._threads.close()

    def _run(self, priority: int, calls: Sequence[Callable[[], bool]]) -> list[bool]:
        run = _Run(len(calls), time.monotonic() + self._begin_within_s)
        futures = [
            self._threads.submit(priority, partial(run.call, at, call))
            for at, call in enumerate(calls)
        ]
        wait(futures)
        return [_said(future) for future in futures]


class _Run:
    def __init__(self, pages: int, begin_by_s: float) -> None:
        self._first_failed = pages
        self._begin_by_s = begin_by_s

    def call(self, at: int, move: Callable[[], bool]) -> bool:
        if at > self._first_failed or time.monotonic() > self._begin_by_s:
            return False
        if move():
            return True
        self._first_failed = min(self._first_failed, at)  # a lost update costs time, no more
        return False


def _said(future: Future[bool]) -> bool:
    return not future.cancelled() and future.exception() is None and future.result()
