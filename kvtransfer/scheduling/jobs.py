"""Tracks the slots that jobs hold until every rank has ended them, and numbers new jobs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class JobNumbers:
    """Gives each job a number that no other job ever has."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int) -> range:
        """Numbers for ``count`` new jobs."""
        first, self._next = self._next, self._next + count
        return range(first, self._next)


class Jobs:
    """The jobs under way of one kind, by number; hundreds begin and end in a step.

    Args:
        ranks: how many workers carry out each job.
    """

    def __init__(self, ranks: int) -> None:
        self._ranks = ranks
        self._slots: dict[int, int] = {}
        self._reported: Counter[int] = Counter()
        """How many ranks have ended a job that others have not."""
        self._failed: set[int] = set()
        """Jobs among them that failed on some rank."""

    def __bool__(self) -> bool:
        return bool(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def slots(self) -> set[int]:
        """The slots that jobs under way hold."""
        return set(self._slots.values())

    def begin(self, jobs: Iterable[int], slots: Iterable[int]) -> None:
        """Each of ``jobs`` holds the slot at the same place in ``slots``."""
        self._slots.update(zip(jobs, slots, strict=True))

    def end(self, counts: Mapping[int, int], failed: set[int]) -> tuple[dict[int, int], set[int]]:
        """Take in how many more ranks have ended each job, and which ``failed`` on one of them.

        Returns:
            The jobs that all ranks have ended, with their slots, and which of those failed on any.
        """
        if self._ranks > 1:
            self._reported.update(counts)
            self._failed.update(failed & counts.keys())
            counts = {job: 0 for job in counts if self._reported[job] == self._ranks}
            failed = self._failed & counts.keys()
            self._failed -= failed
        ended = {job: self._slots.pop(job) for job in counts}
        for job in ended if self._reported else ():
            del self._reported[job]
        return ended, failed & ended.keys() if failed else failed
