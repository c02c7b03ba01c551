"""Fetches what waiting requests will load, and a chunk now and then to probe a slow store."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.chunks.load_order import LoadOrder
from kvtransfer.chunks.tiling import Placement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.plan import Load
    from kvtransfer.requests.basis import Basis
    from kvtransfer.requests.loading.match import Matching
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.requests.timing import LoadTimer

# Waiting requests that a step looks at.
_LOOK_AHEAD = 8
# Chunks that a step begins to prefetch.
_AT_ONCE = 8
# Prefetches under way take at most this part of host memory: one in four slots.
_SHARE = 4


class _Rest(NamedTuple):
    """The request that fetches are planned for, and its chunks that are left."""

    request_id: str = ""
    keys: Sequence[str] = ()
    later: int = 0
    """The priority that the request's caller gave it."""


class Prefetch:
    """For the scheduler's thread; its loads end in host memory."""

    def __init__(self, basis: Basis, matching: Matching) -> None:
        self._planner = basis.planner
        self._timing = basis.timing
        self._groups = basis.groups
        self._metrics = basis.metrics
        self._matching = matching
        self._waiting: dict[str, RequestState] = {}
        """Requests that the engine has not come to, by id."""
        self._rest = _Rest()
        self._prefetches: set[int] = set()
        self._probes: dict[int, LoadTimer] = {}

    def enqueue(self, state: RequestState) -> None:
        """A request has come that may have to wait."""
        self._waiting[state.request_id] = state

    def dequeue(self, request_id: str) -> None:
        """The engine has come to the request, or it is over."""
        self._waiting.pop(request_id, None)
        if self._rest.request_id == request_id:
            self._rest = _Rest()

    def plan(self) -> list[Load]:
        """The fetches of this step."""
        loads = list(self._probe())
        return [*loads, *self._prefetch()] if self._planner.keeps else loads

    def end(self, job: int, *, failed: bool) -> None:
        """A load that was planned here has ended."""
        if job in self._probes:
            self._timing.end_probe(self._probes.pop(job), failed=failed)
        self._prefetches.discard(job)

    def _probe(self) -> Iterator[Load]:
        """One fetch from each tier that is refused, when it is time for that."""
        for tier, key in self._matching.found.items():
            if key in self._planner.index or not self._timing.take_probe(tier):
                continue
            for load in self._planner.load([Placement(key)]):
                self._probes[load.job] = self._timing.begin_probe(tier, self._groups.chunk_tokens)
                yield load

    def _prefetch(self) -> list[Load]:
        """Fetches for one request a step: the scheduler's thread has other things to do."""
        if not self._rest.keys:
            self._rest = self._next_request()
        request_id, keys, later = self._rest
        if not keys:
            return []
        self._rest = _Rest(request_id, keys[_AT_ONCE:], later)
        index = self._planner.index
        missing = [Placement(key) for key in keys[:_AT_ONCE] if key not in index]
        loads = self._planner.load(missing, later=later)
        self._prefetches.update(load.job for load in loads)
        if loads:
            self._metrics.add("prefetched_chunks", len(loads))
        return loads

    def _next_request(self) -> _Rest:
        """The first waiting request with chunks to fetch, and these chunks."""
        for request_id, state in list(islice(self._waiting.items(), _LOOK_AHEAD)):
            if not state.is_hashed() or not self._matching.is_answered(request_id, state.keys):
                continue
            if self._matching.known(request_id) and not state.is_noted:
                state.note(self._planner.index, self._groups)
                break  # that takes its time
            del self._waiting[request_id]
            if self._matching.known(request_id):
                return _Rest(request_id, self._missing(state), state.control.priority)
        return _Rest()

    def _missing(self, state: RequestState) -> list[str]:
        match = self._matching.make(state, 0)
        hit_tokens = 0 if match is None else match.worth_tokens
        pieces = LoadOrder(self._groups, state.keys, hit_tokens, 0).keys
        missing = [key for key in pieces if key not in self._planner.index]
        return missing[: max(0, self._planner.index.slots // _SHARE - len(self._prefetches))]
