"""A copier whose caches' memory may be taken away for a while, as vLLM does in its sleep mode."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from kvtransfer.device.failed import FailedEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.device import Event
    from kvtransfer.worker.copier import Copier


class WakeableCopier:
    """See :class:`kvtransfer.worker.copier.Copier`; while it is suspended, each copy fails at once.

    Args:
        open_copier: makes a copier; again after each suspension, for its tables and stages may lie
            in memory that was discarded too.
    """

    def __init__(self, open_copier: Callable[[], Copier]) -> None:
        self._open_copier = open_copier
        self._copier: Copier | None = open_copier()
        # One for each direction, as in the copier, so that neither waits for the other's launch.
        self._outward = Lock()
        self._inward = Lock()

    def to_host(self, block_ids: Sequence[int], slot: int, written: Sequence[Event]) -> Event:
        """See :class:`kvtransfer.worker.copier.Copier`."""
        with self._outward:
            if self._copier is None:
                return _asleep()
            return self._copier.to_host(block_ids, slot, written)

    def to_device(
        self,
        slot: int,
        block_ids: Sequence[int],
        first_token: int,
        filled: Sequence[Event],
        free: Sequence[Event],
    ) -> Event:
        """See :class:`kvtransfer.worker.copier.Copier`."""
        with self._inward:
            if self._copier is None:
                return _asleep()
            return self._copier.to_device(slot, block_ids, first_token, filled, free)

    def suspend(self) -> None:
        """Wait for the copies, both ways; afterwards nothing touches the caches. Again is harmless."""
        with self._outward, self._inward:
            if self._copier is not None:
                self._copier.close()
                self._copier = None

    def resume(self) -> None:
        """The caches are where they were. Again is harmless."""
        with self._outward, self._inward:
            if self._copier is None:
                self._copier = self._open_copier()

    def close(self) -> None:
        """Wait for the copies and end the streams."""
        self.suspend()


def _asleep() -> FailedEvent:
    return FailedEvent(RuntimeError("the caches' memory is taken away while vLLM sleeps"))
