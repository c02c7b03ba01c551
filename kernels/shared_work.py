"""Shares the parts of one piece of work with helping threads, where a core is free for them."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Helpers:
    """At most ``count`` threads that help the caller of ``run``; without any, it works alone.

    Each takes one part after another, so one that gets no core takes none, and the caller never
    waits for it: beside a busy neighbour a copy takes as long as it would alone.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        """How many threads help at most."""
        self._threads = ThreadPoolExecutor(count, "kvtransfer-help") if count else None

    def run(self, parts: Sequence[Callable[[], None]]) -> None:
        """Call each of ``parts`` once, in any order, and return when all have returned.

        What one of them raises is raised, after the others that had begun.
        """
        left = deque(parts)
        asked = [
            self._threads.submit(_take, left)
            for _ in range(min(self.count, len(parts) - 1))
            if self._threads is not None
        ]
        try:
            _take(left)
        finally:
            left.clear()
            # One that has not begun is not waited for.
            begun = [helper for helper in asked if not helper.cancel()]
            errors = [helper.exception() for helper in begun]
        for error in filter(None, errors):
            raise error

    def close(self) -> None:
        """End the threads; no call may be running or follow."""
        if self._threads is not None:
            self._threads.shutdown()


ALONE = Helpers(0)
"""No helpers."""


def _take(left: deque[Callable[[], None]]) -> None:
    while True:
        try:
            part = left.popleft()
        except IndexError:
            return
        part()
