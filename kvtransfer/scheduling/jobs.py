"""Jobs under way, by the slot that each holds, until every rank has ended them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Jobs:
    """Plain numbers, of which hundreds begin and end in a step."""

    def __init__(self, ranks: int) -> None:
        self._ranks = ranks
        self._slots: dict[int, int] = {}
        self._reported: Counter[int] = Counter()
        """Ranks that have ended a job which others are still at."""
        self._failed: set[int] = set()
        """Of those."""

    def __bool__(self) -> bool:
        return bool(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def slots(self) -> set[int]:
        """Those that jobs under way hold."""
        return set(self._slots.values())

    def begin(self, jobs: Iterable[int], slots: Iterable[int]) -> None:
        """``jobs`` hold ``slots``."""
        self._slots.update(zip(jobs, slots, strict=True))

    def end(self, counts: Mapping[int, int], failed: set[int]) -> tuple[dict[int, int], set[int]]:
        """So many more ranks have ended each job, and on one of them some ``failed``.

        Returns:
            Those that all have ended, with their slots, and which of them failed on any rank.
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
