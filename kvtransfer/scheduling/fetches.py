"""Tracks the slots that a store is filling, and says which fetch goes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Set


class Fetches:
    """The fetches under way, by the slot that each fills."""

    def __init__(self) -> None:
        self._jobs: dict[int, int] = {}
        self._ended = 0

    @property
    def slots(self) -> Set[int]:
        """The slots that are being filled."""
        return self._jobs.keys()

    def fill_any(self, slots: Iterable[int | None]) -> bool:
        """Whether a fetch is filling one of ``slots``."""
        return not self._jobs.keys().isdisjoint(slots)

    def priority(self, count: int, later: int = 0) -> int:
        """The priority of ``count`` new fetches of one request; the lowest goes first.

        It is a virtual finish time (fair queueing: Demers, Keshav and Shenker, SIGCOMM 1989): when
        they would end if every request got the same share of the store. So a short load overtakes
        a long one, and overtakes it less the longer that has waited. The request's caller may put it
        later by ``later`` fetches, or sooner where negative; even then none waits for ever.
        """
        return self._ended + count + later

    def begin(self, jobs: Mapping[int, int]) -> None:
        """``jobs`` fill their slots: a mapping of slots to jobs."""
        self._jobs.update(jobs)

    def end(self, ended: Mapping[int, int]) -> list[int]:
        """Forget those of the ``ended`` loads that were fetches; returns the slots they filled."""
        filled = [slot for job, slot in ended.items() if self._jobs.get(slot) == job]
        for slot in filled:
            del self._jobs[slot]
        self._ended += len(filled)
        return filled
