"""Writes in the background, and drops the oldest waiting item when too many wait."""

from __future__ import annotations

from collections import deque
from threading import Condition, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from kvtransfer.rare_log import RareLog

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class WriteBehind(Generic[T]):
    """Queues items for a thread that writes them one by one, in order.

    Args:
        write: called on the thread for each item. An exception is logged and costs its item alone.
        drop: called for each item that was never written: on the thread that offers or closes, or
            on the writing thread after an exception of ``write``.
        limit: items that may wait; one more drops the oldest.
        name: of the thread.
    """

    def __init__(
        self, write: Callable[[T], None], drop: Callable[[T], None], limit: int, name: str
    ) -> None:
        self._write = write
        self._drop = drop
        self._limit = limit
        self._waiting: deque[T] = deque()
        self._is_closing = False
        self._change = Condition()
        self._failures = RareLog()
        self._thread = Thread(target=self._write_all, name=name, daemon=True)
        self._thread.start()

    def offer(self, item: T) -> None:
        """Write ``item`` after those that wait; returns at once."""
        with self._change:
            self._waiting.append(item)
            oldest = self._waiting.popleft() if len(self._waiting) > self._limit else None
            self._change.notify_all()
        if oldest is not None:
            self._drop(oldest)

    def add(self, item: T) -> None:
        """Write ``item`` after those that wait, and drop none for it, however many wait."""
        with self._change:
            self._waiting.append(item)
            self._change.notify_all()

    def waiting(self) -> list[T]:
        """Return the items that wait, in order."""
        with self._change:
            return list(self._waiting)

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    def close(self, drain_s: float) -> None:
        """Keep writing for at most ``drain_s``, drop what still waits, and end the thread."""
        with self._change:
            self._change.wait_for(lambda: not self._waiting, drain_s)
            rest = list(self._waiting)
            self._waiting.clear()
            self._is_closing = True
            self._change.notify_all()
        for item in rest:
            self._drop(item)
        self._thread.join()

    def _write_all(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._is_closing)
                if not self._waiting:
                    return
                item = self._waiting.popleft()
                self._change.notify_all()
            self._survive(item)

    def _survive(self, item: T) -> None:
        try:
            try:
                self._write(item)
            except BaseException as error:  # noqa: BLE001 - the next items are to be written
                self._failures.warn_unexpected("a write failed, its chunk is dropped", error)
                self._drop(item)
        except BaseException as error:  # noqa: BLE001
            self._failures.warn_unexpected("what was dropped could not be told", error)
