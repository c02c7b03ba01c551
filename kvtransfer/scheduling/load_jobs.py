"""Plans load jobs: each brings one chunk into a request's blocks, or only into host memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.plan import Load
from kvtransfer.scheduling.fetches import Fetches
from kvtransfer.scheduling.jobs import Jobs
from kvtransfer.scheduling.reservation import Reservations

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence, Set

    from kvtransfer.chunks.tiling import Placement
    from kvtransfer.scheduling.index import Index
    from kvtransfer.scheduling.jobs import JobNumbers
    from kvtransfer.scheduling.put_jobs import PutJobs
    from kvtransfer.scheduling.reservation import Reservation


class LoadJobs:
    """The loads under way, and the room that those to come have reserved.

    Args:
        index: which chunk is where.
        puts: told which slots are claimed for chunks that the store has.
        numbers: gives jobs their numbers.
        ranks: how many workers carry out each job.
    """

    def __init__(self, index: Index, puts: PutJobs, numbers: JobNumbers, ranks: int) -> None:
        self._index = index
        self._puts = puts
        self._numbers = numbers
        self._jobs = Jobs(ranks)
        self._fetches = Fetches()
        self._reservations = Reservations(index, self._fetches)

    def __bool__(self) -> bool:
        """Whether a load is under way."""
        return bool(self._jobs)

    @property
    def room(self) -> int:
        """Chunks that could be given a slot now without taking one that is reserved."""
        return self._reservations.room

    def room_for(self, keys: Sequence[str]) -> int:
        """How many of the chunks ``keys`` could be given a slot now, in the same sense."""
        return self._reservations.room_for(keys)

    @property
    def filling(self) -> Set[int]:
        """Slots whose chunks are on their way from the store."""
        return self._fetches.slots

    def loadable(self, keys: Sequence[str], stored: Container[str]) -> int:
        """How many of ``keys``, from the first on, there is room for and bytes of.

        Args:
            keys: chunks in the order of their tokens.
            stored: those that the store is known to hold.
        """
        room = self.room_for(keys)
        for i, pins in enumerate(self._index.pins(keys)):
            if pins:
                continue
            if room <= 0 or (pins is None and keys[i] not in stored):
                return i
            room -= 1
        return len(keys)

    def reserve(self, keys: Sequence[str], later: int = 0) -> Reservation:
        """Set aside what loading ``keys`` takes, for as many as there is room for.

        ``later`` is as of :meth:`kvtransfer.scheduling.fetches.Fetches.priority`.
        """
        return self._reservations.reserve(keys, later)

    def plan(
        self, reservation: Reservation, placements: Sequence[Placement], start_within_s: float
    ) -> list[Load]:
        """Plan jobs for ``placements``, the next chunks of ``reservation``."""
        slots, fetched = reservation.claim_next(len(placements))
        self._puts.note_fetched(fetched)
        jobs = self._numbers.take(len(slots))
        self._jobs.begin(jobs, slots)
        empty = set(fetched)
        self._fetches.begin(
            {slot: job for slot, job in zip(slots, jobs, strict=True) if slot in empty}
        )
        priority = reservation.priority
        return [
            Load(job, key, slot, slot in empty, blocks, first, priority, start_within_s, moves)
            for job, slot, (key, blocks, first, moves) in zip(jobs, slots, placements, strict=False)
        ]

    def end(
        self, counts: Mapping[int, int], failed: set[int]
    ) -> tuple[dict[int, int], set[int], list[int]]:
        """Ranks have ended jobs, see :meth:`kvtransfer.scheduling.jobs.Jobs.end`.

        Returns:
            As there, and the slots that fetches have ended filling, well or not.
        """
        ended, failed = self._jobs.end(counts, failed)
        return ended, failed, self._fetches.end(ended)
