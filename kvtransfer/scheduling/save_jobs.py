"""Plans save jobs: each copies the blocks of one chunk into host memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.plan import Save
from kvtransfer.scheduling.jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.chunks.tiling import Placement
    from kvtransfer.scheduling.index import Index
    from kvtransfer.scheduling.jobs import JobNumbers
    from kvtransfer.scheduling.put_jobs import PutJobs


class SaveJobs:
    """The copies out of blocks that are under way.

    Args:
        index: which chunk is where.
        puts: told which chunks are saved, and puts them.
        numbers: gives jobs their numbers.
        ranks: how many workers carry out each job.
    """

    def __init__(self, index: Index, puts: PutJobs, numbers: JobNumbers, ranks: int) -> None:
        self._index = index
        self._puts = puts
        self._numbers = numbers
        self._jobs = Jobs(ranks)

    @property
    def filling(self) -> set[int]:
        """Slots whose chunks are on their way from the blocks."""
        return self._jobs.slots

    def plan(
        self, chunks: Sequence[Placement], after: str | None, most: int, ttl_s: int | None = None
    ) -> list[Save]:
        """Plan to copy out those of ``chunks`` that host memory does not hold.

        Args:
            chunks: in the order of their tokens.
            after: key of the chunk before the first, if a request brought that one earlier.
            most: chunks that there is room for.
            ttl_s: how long they may live in the store; None: as long as it is set to.
        """
        chunks = [chunk for chunk in chunks if chunk.key not in self._index][:most]
        put = self._puts.puts_saved
        keys = [chunk.key for chunk in chunks]
        slots = self._index.claim_all(keys, after, pins=1 + put)
        jobs = self._numbers.take(len(slots))
        self._jobs.begin(jobs, slots)
        self._puts.begin_saved(jobs, slots, keys, ttl_s)
        return [
            Save(job, chunk.key, slot, chunk.block_ids, put, ttl_s)
            for job, slot, chunk in zip(jobs, slots, chunks, strict=False)
        ]

    def end(self, counts: Mapping[int, int], failed: set[int]) -> tuple[dict[int, int], set[int]]:
        """Ranks have ended jobs, see :meth:`kvtransfer.scheduling.jobs.Jobs.end`."""
        return self._jobs.end(counts, failed)
