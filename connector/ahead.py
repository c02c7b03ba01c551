"""Fetches ahead of need: what requests in line will load, and a chunk now and then as a probe."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from kvtransfer.tiling import Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.metrics import Metrics
    from kvtransfer.plan import Load
    from kvtransfer.planner import Planner
    from kvtransfer.tiling import Tiling

    from .offers import Offers
    from .pace import Journey, Pace
    from .tracked import Tracked

# Of the requests in line so many are looked at in each step.
_LOOK_AHEAD = 16
# What is fetched ahead may take this part of host memory at once.
_SHARE = 4


class Ahead:
    """For the scheduler's thread; its loads end in host memory."""

    def __init__(
        self, planner: Planner, offers: Offers, pace: Pace, tiling: Tiling, metrics: Metrics
    ) -> None:
        self._planner = planner
        self._offers = offers
        self._pace = pace
        self._tiling = tiling
        self._metrics = metrics
        self._line: dict[str, Tracked] = {}
        """Requests that the scheduler has not come to, by id."""
        self._prefetches: set[int] = set()
        self._probes: dict[int, Journey] = {}

    def enqueue(self, tracked: Tracked) -> None:
        """A request has come that may have to wait in line."""
        self._line[tracked.request.request_id] = tracked

    def dequeue(self, request_id: str) -> None:
        """The scheduler has come to it, or it is over."""
        self._line.pop(request_id, None)

    def plan(self) -> list[Load]:
        """What to fetch in this step."""
        return [*self._probe(), *self._prefetch()] if self._planner.keeps else [*self._probe()]

    def end(self, job: int, *, failed: bool) -> bool:
        """A load has ended; returns whether it was planned here."""
        if job in self._probes:
            self._pace.end_probe(self._probes.pop(job), failed=failed)
            return True
        is_ours = job in self._prefetches
        self._prefetches.discard(job)
        return is_ours

    def _probe(self) -> Iterator[Load]:
        key = self._offers.found
        if key is None or key in self._planner.index or not self._pace.take_probe():
            return
        for load in self._planner.load([Target(key)]):
            self._probes[load.job] = self._pace.begin_probe(self._tiling.chunk_tokens)
            yield load

    def _prefetch(self) -> list[Load]:
        """For one request a step: the scheduler's thread has other things to do."""
        for request_id, tracked in islice(self._line.items(), _LOOK_AHEAD):
            if not tracked.is_hashed():
                continue
            tracked.note(self._planner.index)
            if self._offers.is_answered(request_id, tracked.keys):
                del self._line[request_id]
                offer = self._offers.make(request_id, tracked.keys, 0)
                chunks = 0 if offer is None else offer.worth_tokens // self._tiling.chunk_tokens
                return self._fetch(tracked.keys[:chunks])
        return []

    def _fetch(self, keys: Sequence[str]) -> list[Load]:
        missing = [key for key in keys if key not in self._planner.index]
        room = max(0, self._planner.index.slots // _SHARE - len(self._prefetches))
        loads = self._planner.load([Target(key) for key in missing[:room]])
        self._prefetches |= {load.job for load in loads}
        self._metrics.add("prefetched_chunks", len(loads))
        return loads
