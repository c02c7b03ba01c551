"""Loads of requests, planned in pieces: a long prompt has hundreds of chunks, a step little time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.tiling import Tiling
    from kvtransfer.metrics import Metrics
    from kvtransfer.plan import Load
    from kvtransfer.requests.busy_blocks import BusyBlocks
    from kvtransfer.requests.match import Offers
    from kvtransfer.requests.request_state import Tracked
    from kvtransfer.requests.timing import Pace
    from kvtransfer.scheduling.planner import Planner
    from kvtransfer.scheduling.promise import Promise

# A request of so many chunks has its jobs at once; those of a longer one come with the steps.
_AT_ONCE = 16
_A_STEP = 32


@dataclass
class _Rest:
    """What a request is still to get jobs for."""

    tracked: Tracked
    promise: Promise
    keys: Sequence[str]
    """From its first chunk to the last to load, whether loaded or not."""
    skip_tokens: int
    deadline_s: float


class Loads:
    """For the scheduler's thread; a request is received once no chunk of it is to be loaded."""

    def __init__(
        self,
        planner: Planner,
        offers: Offers,
        pace: Pace,
        tiling: Tiling,
        busy_blocks: BusyBlocks,
        metrics: Metrics,
    ) -> None:
        self._planner = planner
        self._offers = offers
        self._pace = pace
        self._tiling = tiling
        self._busy_blocks = busy_blocks
        self._metrics = metrics
        self._rests: dict[str, _Rest] = {}
        self._owners: dict[int, Tracked] = {}
        self._planned: list[Load] = []
        self._given_up: set[str] = set()
        """Received without a report to say so."""

    def begin(self, tracked: Tracked, external_tokens: int) -> None:
        """Load so many tokens behind ``local_tokens`` of the request, as ``Offers`` found there."""
        skip_tokens = tracked.local_tokens
        first = skip_tokens // self._tiling.chunk_tokens
        keys = tracked.keys[: -(-(skip_tokens + external_tokens) // self._tiling.chunk_tokens)]
        promise = self._planner.promise(keys[first:])
        assert len(promise.slots) == len(keys) - first, "match promised what there is no room for"
        self._note(tracked, promise, external_tokens)
        deadline_s = self._pace.deadline_s(external_tokens, skip_tokens)
        rest = _Rest(tracked, promise, keys, skip_tokens, deadline_s)
        self._rests[tracked.request.request_id] = rest
        if len(promise.slots) <= _AT_ONCE:
            self._planned += self._advance(rest, _AT_ONCE)

    def plan(self) -> list[Load]:
        """The loads of the step: those of requests that have just come, and some of the others."""
        loads, self._planned = self._planned, []
        most = _A_STEP
        for rest in list(self._rests.values()):
            piece = self._advance(rest, most)
            most -= len(piece)
            loads += piece
            if not most:
                break
        return loads

    def end(self, job: int, *, failed: bool) -> Tracked | None:
        """A load has ended; returns its request if that has nothing left to load."""
        tracked = self._owners.pop(job)
        tracked.loading.discard(job)
        if tracked.loading and not failed:
            return None
        if failed:
            tracked.loads = False
            self._offers.forget(tracked.request.request_id)  # what it told is not so
            self._give_up(tracked)  # what is behind it is computed, too
        if self.is_loading(tracked):
            return None
        if tracked.journey is not None:
            self._pace.end_load(tracked.journey, failed=not tracked.loads)
            tracked.journey = None
        return tracked

    def owner(self, job: int) -> Tracked | None:
        """Whom the load ``job`` is for; None: for no request."""
        return self._owners.get(job)

    def owns(self, job: int) -> bool:
        """Whether a load that has not ended was planned here."""
        return job in self._owners

    def is_loading(self, tracked: Tracked) -> bool:
        """Whether the request is not received yet."""
        return bool(tracked.loading) or tracked.request.request_id in self._rests

    def abort(self, tracked: Tracked) -> None:
        """The request, which is loading, needs no more than is under way."""
        self._give_up(tracked)
        if not tracked.loading:
            self._given_up.add(tracked.request.request_id)

    @property
    def is_behind(self) -> bool:
        """Whether chunks wait for their jobs."""
        return bool(self._rests)

    @property
    def has_given_up(self) -> bool:
        """Whether ``take_given_up`` returns a request."""
        return bool(self._given_up)

    def take_given_up(self) -> set[str]:
        """Requests received since the last call, beside those that ``end`` returns."""
        taken, self._given_up = self._given_up, set()
        return taken

    def _note(self, tracked: Tracked, promise: Promise, external_tokens: int) -> None:
        chunk_tokens, skip_tokens = self._tiling.chunk_tokens, tracked.local_tokens
        fetched_tokens = promise.fetches * chunk_tokens
        if promise.slots[0] is None:
            fetched_tokens -= skip_tokens % chunk_tokens
        fetched_tokens = min(fetched_tokens, external_tokens)
        tracked.host_tokens = external_tokens - fetched_tokens
        if not promise.is_shared:  # the part of others tells nothing of how long the whole takes
            tracked.journey = self._pace.begin_load(
                tracked.host_tokens, fetched_tokens, skip_tokens
            )
        self._metrics.add("store_hit_tokens", fetched_tokens)
        self._metrics.add("host_hit_tokens", tracked.host_tokens)

    def _advance(self, rest: _Rest, most: int) -> list[Load]:
        """Jobs for the next chunks of a request."""
        tracked = rest.tracked
        first = rest.skip_tokens // self._tiling.chunk_tokens + rest.promise.begun
        keys = rest.keys[: first + most]
        targets = self._tiling.targets(keys, tracked.block_ids, rest.skip_tokens, first)
        loads = self._planner.load_next(rest.promise, targets, self._pace.left_s(rest.deadline_s))
        for load in loads:
            tracked.loading.add(load.job)
            self._owners[load.job] = tracked
            self._busy_blocks.note_write(load.block_ids)
        if not rest.promise.left:
            del self._rests[tracked.request.request_id]
        return loads

    def _give_up(self, tracked: Tracked) -> None:
        rest = self._rests.pop(tracked.request.request_id, None)
        if rest is None:
            return
        left_tokens = self._tiling.chunk_tokens * (rest.promise.fetches or rest.promise.left)
        if tracked.journey is not None:
            begun_tokens = tracked.journey.tokens - left_tokens
            tracked.journey = (
                replace(tracked.journey, tokens=begun_tokens) if begun_tokens > 0 else None
            )
        self._planner.let_go(rest.promise)
