"""Plans put jobs: chunks that leave host memory, and those that the store may have lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.plan import Put
from kvtransfer.scheduling.jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from kvtransfer.scheduling.index import Index
    from kvtransfer.scheduling.jobs import JobNumbers
    from kvtransfer.scheduling.life import Offered
    from kvtransfer.scheduling.reoffer import Reoffer
    from kvtransfer.scheduling.write_back import WriteBack

# Reoffered chunks are mostly there already and cost little, but they queue with all other puts.
_REOFFERS_AT_ONCE = 8


class PutJobs:
    """The puts under way.

    Args:
        index: which chunk is where.
        write_back: which chunks are dirty.
        reoffer: which chunks that host memory keeps are due for the store again; None: none are.
        numbers: gives jobs their numbers.
        ranks: how many workers carry out each job.
        put: whether there is a store.
    """

    def __init__(
        self,
        index: Index,
        write_back: WriteBack,
        reoffer: Reoffer | None,
        numbers: JobNumbers,
        ranks: int,
        *,
        put: bool,
    ) -> None:
        self._index = index
        self._write_back = write_back
        self._reoffer = reoffer
        self._numbers = numbers
        self._jobs = Jobs(ranks)
        self._reoffered: set[int] = set()
        """Jobs under way whose chunks stay in host memory."""
        self._put = put

    def __bool__(self) -> bool:
        """Whether a chunk is on its way to the store."""
        return bool(self._jobs)

    @property
    def puts_saved(self) -> bool:
        """Whether chunks are put as they are saved, by the same job."""
        return self._put and not self._write_back.is_on

    def note_fetched(self, slots: Collection[int]) -> None:
        """``slots`` were claimed for chunks that the store has."""
        self._write_back.note_claimed(slots)
        if self._reoffer is not None:
            self._reoffer.fetched(slots)

    def begin_saved(
        self, jobs: range, slots: Sequence[int], keys: Sequence[str], ttl_s: int | None = None
    ) -> None:
        """``slots`` were claimed for chunks that ``jobs`` save and that no store has.

        Where the jobs don't put them, they are put later, to live for ``ttl_s``.
        """
        self._write_back.note_claimed(slots)
        if self._reoffer is not None:
            self._reoffer.saved(slots)
        if self.puts_saved:
            self._jobs.begin(jobs, slots)
        elif self._put:
            self._write_back.mark_dirty(slots, keys, ttl_s)

    def touch(self, keys: Sequence[str], ttl_s: int | None = None) -> None:
        """A request that saves has ``keys`` again: reoffer those held here when they are due.

        ``ttl_s`` is how long they may live in the store, as that request asks.
        """
        if self._reoffer is not None:
            for slot, key in zip(self._index.find_all(keys), keys, strict=True):
                if slot is not None:
                    self._reoffer.touch(slot, key, ttl_s)
                    self._write_back.touch(slot, ttl_s)

    def plan(self, filling: Callable[[], Collection[int]]) -> list[Put]:
        """The puts of a step: what leaves next, and what the store may have lost or refused.

        ``filling`` returns the slots whose bytes are not there yet.
        """
        flushing = len(self._jobs) - len(self._reoffered)
        flushes = self._begin(self._write_back.flush_leaving(flushing))
        return [*flushes, *self._plan_reoffers(filling)]

    def flush(self, most: int) -> list[Put]:
        """Jobs for at most ``most`` of the dirty chunks, for the end."""
        return self._begin(self._write_back.flush_rest(most))

    def end(self, counts: Mapping[int, int]) -> dict[int, int]:
        """Ranks have ended jobs; returns those that all have ended, with their slots."""
        ended, _ = self._jobs.end(counts, set())
        self._reoffered.difference_update(ended)
        return ended

    def _plan_reoffers(self, filling: Callable[[], Collection[int]]) -> list[Put]:
        most = _REOFFERS_AT_ONCE - len(self._reoffered)
        offered = self._reoffer.take(most) if self._reoffer is not None else []
        if not offered:
            return []
        empty = filling()  # a chunk is in the index before its bytes are in the slot
        clean = [
            each
            for each in offered
            if self._index.holds(each.slot, each.key)
            and each.slot not in empty
            and not self._write_back.is_dirty(each.slot)
        ]
        self._index.pin_all([each.key for each in clean])
        puts = self._begin(clean)
        self._reoffered.update(put.job for put in puts)
        return puts

    def _begin(self, chunks: Sequence[Offered]) -> list[Put]:
        jobs = self._numbers.take(len(chunks))
        self._jobs.begin(jobs, (each.slot for each in chunks))
        return [
            Put(job, each.key, each.slot, each.ttl_s)
            for job, each in zip(jobs, chunks, strict=True)
        ]
