"""Stops copies while vLLM sleeps, when the memory of the caches may be unmapped."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from kvtransfer.device.failed import FailedEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.device import Event
    from kvtransfer.kernels import Rotation
    from kvtransfer.move import Move
    from kvtransfer.worker.copier import Copier


class WakeableCopier:
    """A :class:`kvtransfer.worker.copier.Copier` whose copies fail at once while it is suspended.

    Args:
        open_copier: makes a copier, also after each suspension, because its tables and stages may
            lie in memory that was discarded.
    """

    def __init__(self, open_copier: Callable[[], Copier]) -> None:
        self._open_copier = open_copier
        self._copier: Copier | None = open_copier()
        self._rotation: Rotation | None = None
        # One lock for each direction, as in the copier: neither waits for the other's launch.
        self._outward = Lock()
        self._inward = Lock()

    def to_host(
        self, block_ids: Sequence[int], slot: int, written: Sequence[Event], group: int = 0
    ) -> Event:
        """See :class:`kvtransfer.worker.copier.Copier`."""
        with self._outward:
            if self._copier is None:
                return _asleep()
            return self._copier.to_host(block_ids, slot, written, group)

    def to_device(
        self,
        slot: int,
        block_ids: Sequence[int],
        first_token: int,
        filled: Sequence[Event],
        free: Sequence[Event],
        group: int = 0,
    ) -> Event:
        """See :class:`kvtransfer.worker.copier.Copier`."""
        with self._inward:
            if self._copier is None:
                return _asleep()
            return self._copier.to_device(slot, block_ids, first_token, filled, free, group)

    def rotate_by(self, rotation: Rotation) -> None:
        """See :class:`kvtransfer.worker.copier.Copier`."""
        with self._inward:
            self._rotation = rotation
            if self._copier is not None:
                self._copier.rotate_by(rotation)

    def move(
        self,
        slot: int,
        moves: Sequence[Move],
        filled: Sequence[Event],
        free: Sequence[Event],
        group: int = 0,
    ) -> Event:
        """See :class:`kvtransfer.worker.copier.Copier`."""
        with self._inward:
            if self._copier is None:
                return _asleep()
            return self._copier.move(slot, moves, filled, free, group)

    def suspend(self) -> None:
        """Wait for the copies, both ways. Afterwards nothing touches the caches. Idempotent."""
        with self._outward, self._inward:
            if self._copier is not None:
                self._copier.close()
                self._copier = None

    def resume(self) -> None:
        """Copy again; the caches are at the same addresses as before. Idempotent."""
        with self._outward, self._inward:
            if self._copier is None:
                self._copier = self._open_copier()
                if self._rotation is not None:
                    self._copier.rotate_by(self._rotation)

    def close(self) -> None:
        """Wait for the copies and end the streams."""
        self.suspend()


def _asleep() -> FailedEvent:
    return FailedEvent(RuntimeError("the caches' memory is taken away while vLLM sleeps"))
