"""Which chunks were asked for again soon enough to count, as adaptive replacement counts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.policies.runs import Run


class Familiar:
    """Counts the chunks in slots, those asked for once and the others, and those that left.

    As in :class:`kvtransfer.policies.arc.ARC`, so many of either are remembered once they left as
    there are slots with chunks of the other.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self.once = 0
        """Slots whose chunks were asked for once."""
        self._left = [0, 0]
        """Chunks evicted so far, by whether they were familiar."""

    def knows(self, run: Run, *, is_held: bool) -> bool:
        """Whether its chunks, asked for now, are familiar from now on."""
        if is_held:
            return True
        remembered = self.once if run.is_familiar else self._slots - self.once
        return self._left[run.is_familiar] - run.left_at <= remembered

    def enter(self, run: Run, chunks: int) -> None:
        """``chunks`` of the run have slots."""
        if not run.is_familiar:
            self.once += chunks

    def leave(self, run: Run, chunks: int) -> None:
        """``chunks`` of the run are in their slots no more."""
        self.enter(run, -chunks)

    def evict(self, run: Run, chunks: int) -> None:
        """They left to make room."""
        self.leave(run, chunks)
        self._left[run.is_familiar] += chunks
        run.left_at = self._left[run.is_familiar]
