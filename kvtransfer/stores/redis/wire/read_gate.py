"""Lets only as many threads read from a server at once as its line is worth."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Condition
from typing import TYPE_CHECKING

from redis.exceptions import TimeoutError

from kvtransfer.stores.redis.wire.read_width import ReadWidth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Read:
    """A read under way."""

    beside: int
    """How many were under way when it began, this one included."""
    nbytes: int = 0
    """How many bytes it has brought; from one that brought none nothing is learned."""


class ReadGate:
    """Lets reads in as they come, at most ``limit`` at once, fewer as :class:`ReadWidth` says.

    Safe to use from threads. ``clock`` returns seconds, as deadlines count them.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._width = ReadWidth(limit)
        self._clock = clock
        self._numbers = count()
        self._line: list[int] = []
        self._under_way = 0
        self._change = Condition()

    @contextmanager
    def passed(self, deadline_s: float) -> Iterator[Read]:
        """Run the body when it is this read's turn; the body says how many bytes it has brought.

        Raises:
            TimeoutError: its turn did not come before ``deadline_s``.
        """
        read, began_s = self._enter(deadline_s), self._clock()
        try:
            yield read
        finally:
            with self._change:
                self._under_way -= 1
                if read.nbytes:
                    self._width.ended(read.nbytes, self._clock() - began_s, read.beside)
                self._change.notify_all()

    def _enter(self, deadline_s: float) -> Read:
        with self._change:
            number = next(self._numbers)
            self._line.append(number)
            try:
                left_s = max(deadline_s - self._clock(), 0)
                if not self._change.wait_for(lambda: self._is_turn(number), left_s):
                    raise TimeoutError("no connection free in time")
                self._under_way += 1
            finally:
                self._line.remove(number)
                self._change.notify_all()
            return Read(self._under_way)

    def _is_turn(self, number: int) -> bool:
        return self._line[0] == number and self._under_way < self._width.width
