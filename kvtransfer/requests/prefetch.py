"""Fetches ahead of need: what requests in line will load, and a chunk now and then as a probe."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from kvtransfer.chunks.tiling import Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.chunks.tiling import Tiling
    from kvtransfer.metrics import Metrics
    from kvtransfer.plan import Load
    from kvtransfer.requests.match import Offers
    from kvtransfer.requests.request_state import Tracked
    from kvtransfer.requests.timing import Journey, Pace
    from kvtransfer.scheduling.planner import Planner

# Of the requests in line so many are looked at in each step.
_LOOK_AHEAD = 8
# So many chunks are fetched ahead with each step.
_AT_ONCE = 8
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
        self._rest: tuple[str, list[str]] = ("", [])
        """Whom fetches are planned for, and the chunks that are left of them."""
        self._prefetches: set[int] = set()
        self._probes: dict[int, Journey] = {}

    def enqueue(self, tracked: Tracked) -> None:
        """A request has come that may have to wait in line."""
        self._line[tracked.request.request_id] = tracked

    def dequeue(self, request_id: str) -> None:
        """The scheduler has come to it, or it is over."""
        self._line.pop(request_id, None)
        if self._rest[0] == request_id:
            self._rest = ("", [])

    def plan(self) -> list[Load]:
        """What to fetch in this step."""
        loads = list(self._probe())
        return [*loads, *self._prefetch()] if self._planner.keeps else loads

    def end(self, job: int, *, failed: bool) -> None:
        """A load that was planned here has ended."""
        if job in self._probes:
            self._pace.end_probe(self._probes.pop(job), failed=failed)
        self._prefetches.discard(job)

    def _probe(self) -> Iterator[Load]:
        key = self._offers.found
        if key is None or key in self._planner.index or not self._pace.take_probe():
            return
        for load in self._planner.load([Target(key)]):
            self._probes[load.job] = self._pace.begin_probe(self._tiling.chunk_tokens)
            yield load

    def _prefetch(self) -> list[Load]:
        """For one request a step: the scheduler's thread has other things to do."""
        if not self._rest[1]:
            self._rest = self._next_request()
        request_id, keys = self._rest
        if not keys:
            return []
        self._rest = request_id, keys[_AT_ONCE:]
        index = self._planner.index
        loads = self._planner.load([Target(key) for key in keys[:_AT_ONCE] if key not in index])
        self._prefetches.update(load.job for load in loads)
        if loads:
            self._metrics.add("prefetched_chunks", len(loads))
        return loads

    def _next_request(self) -> tuple[str, list[str]]:
        """The first in line that may be fetched for, and the chunks to fetch."""
        for request_id, tracked in list(islice(self._line.items(), _LOOK_AHEAD)):
            if not tracked.is_hashed() or not self._offers.is_answered(request_id, tracked.keys):
                continue
            if self._offers.known(request_id) and not tracked.is_noted:
                tracked.note(self._planner.index)
                break  # that takes its time
            del self._line[request_id]
            if self._offers.known(request_id):
                return request_id, self._missing(request_id, tracked.keys)
        return "", []

    def _missing(self, request_id: str, keys: Sequence[str]) -> list[str]:
        offer = self._offers.make(request_id, keys, 0)
        chunks = 0 if offer is None else offer.worth_tokens // self._tiling.chunk_tokens
        missing = [key for key in keys[:chunks] if key not in self._planner.index]
        return missing[: max(0, self._planner.index.slots // _SHARE - len(self._prefetches))]
