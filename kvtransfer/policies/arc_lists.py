"""Keeps the lengths of ARC's lists, and says which list a run belongs to.

ARC (Megiddo and Modha, FAST 2003) holds chunks that were requested once in its recency list T1 and
the others in its frequency list T2, and has a list of ghost entries for each, B1 and B2. Runs lie in
order of age elsewhere, so counts are enough to tell which list a chunk is in, and whether a ghost
is still remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.policies.run import Run


class ArcLists:
    """Counts the chunks of ``slots`` slots in T1 and T2, and the evictions from each.

    As in :class:`kvtransfer.policies.arc.ARC`, T1 and B2 together have as many entries as there
    are slots, and so have T2 and B1.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self.recent = 0
        """Chunks in the recency list T1."""
        self._evictions = [0, 0]
        """From T1 and from T2."""

    def resize(self, slots: int) -> None:
        """Count for ``slots`` slots from now on."""
        self._slots = slots

    def promotes(self, run: Run, *, is_held: bool) -> bool:
        """Whether chunks of the run, requested now, belong in the frequency list.

        They do if they are held, or if their ghost entries are still remembered.
        """
        if is_held:
            return True
        remembered = self.recent if run.is_frequent else self._slots - self.recent
        return self._evictions[run.is_frequent] - run.evicted_at <= remembered

    def add(self, run: Run, chunks: int) -> None:
        """Count ``chunks`` of the run that got slots."""
        if not run.is_frequent:
            self.recent += chunks

    def remove(self, run: Run, chunks: int) -> None:
        """Count ``chunks`` of the run that no longer have slots."""
        self.add(run, -chunks)

    def evict(self, run: Run, chunks: int) -> None:
        """Count ``chunks`` of the run that were evicted and become ghost entries."""
        self.remove(run, chunks)
        self._evictions[run.is_frequent] += chunks
        run.evicted_at = self._evictions[run.is_frequent]
