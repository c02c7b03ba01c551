"""Plans the loads of requests in pieces: a long prompt has hundreds of chunks, a step little time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kvtransfer.chunks.load_order import LoadOrder
from kvtransfer.requests.blending.blend_order import BlendOrder
from kvtransfer.requests.blending.gap_jobs import GapJobs
from kvtransfer.requests.blending.gap_progress import GapProgress
from kvtransfer.requests.loading.filled_blocks import FilledBlocks
from kvtransfer.requests.loading.hit_counts import HitCounts
from kvtransfer.requests.loading.under_way import Loading
from kvtransfer.requests.loading.whole_failures import WholeFailures
from kvtransfer.requests.tracing.load_record import LOAD_FAILED, WEIGHTS_CHANGED
from kvtransfer.scheduling.cost.runs import leading, tokens_by_tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kvtransfer.plan import GapJob, Load, LoadTimes
    from kvtransfer.requests.basis import Basis
    from kvtransfer.requests.blending.found import Found
    from kvtransfer.requests.loading.match import Matching, Span
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.requests.saving.busy_blocks import BusyBlocks
    from kvtransfer.requests.timing import LoadTimer
    from kvtransfer.scheduling.cost.runs import Run
    from kvtransfer.scheduling.reservation import Reservation

# A request with at most this many chunks gets its jobs at once, a longer one in several steps.
_AT_ONCE = 16
# Chunks of longer requests that get their jobs in one step.
_A_STEP = 32
# The tiers of jobs that bring nothing: no tier learns from how they end.
_VOIDED = "voided"
_COMPUTED = "computed"


class Loads:
    """For the scheduler's thread; a request is received once no chunk of it is to be loaded."""

    def __init__(self, basis: Basis, matching: Matching, busy_blocks: BusyBlocks) -> None:
        self._planner = basis.planner
        self._timing = basis.timing
        self._groups = basis.groups
        self._block_tokens = basis.groups.tilings[0].block_tokens
        self._gap_tokens_a_step = basis.gap_tokens_a_step
        self._matching = matching
        self._busy_blocks = busy_blocks
        self._loading: dict[str, Loading] = {}
        """What each request loads, until it is received."""
        self._rests: dict[str, Loading] = {}
        """The requests with chunks that have no jobs yet."""
        self._owners: dict[int, Loading] = {}
        self._gap_jobs = GapJobs(basis.planner, self._block_tokens)
        self._filled = FilledBlocks()
        self._planned: list[Load] = []
        self._failures = WholeFailures()
        self._given_up: set[str] = set()
        """Requests that are received although no report says so."""
        self._hits = HitCounts(basis.metrics)
        self._failed: set[str] = set()

    def begin(self, state: RequestState, span: Span) -> None:
        """Load the tokens of ``span``, which ``Matching`` found behind those computed."""
        hit_tokens = span.first_token + span.tokens
        order = LoadOrder(self._groups, state.keys, hit_tokens, span.first_token)
        reservation = self._reserve(state, order)
        located = self._matching.known(state.request_id)
        tiers = self._matching.tiers(located, order.keys, reservation.slots)
        runs = self._matching.hits.runs_of(order, tiers)
        self._hits.count(state.request_id, runs)
        timer = self._time(reservation, runs, span)
        if state.record is not None:
            state.record.begin(runs)
        self._begin(Loading(state, span, order, reservation, located, runs, timer, self._due(span)))

    def begin_blend(self, state: RequestState, span: Span, found: Found) -> Mapping[str, int]:
        """Load the exact tokens of ``span``, move passages behind them, then compute the gaps.

        Returns:
            The moved tokens by the tier that has them.
        """
        exact = LoadOrder(self._groups, state.keys, found.blend.start, span.first_token)
        order = BlendOrder(exact, found.blend, self._block_tokens)
        reservation = self._reserve(state, order)
        tiers = self._matching.tiers(found.located, order.keys, reservation.slots)
        exact_runs = self._matching.hits.runs_of(exact, tiers[: len(exact.keys)])
        self._hits.count(state.request_id, exact_runs)
        runs = order.runs(tiers)
        if state.record is not None:
            state.record.begin(runs, found.blend)
        loading = Loading(
            state, span, order, reservation, found.located, runs, None, self._due(span)
        )
        loading.gaps = GapProgress(found.blend, self._timing.clock())
        blocks = loading.blocks_behind(found.blend.start, self._block_tokens)
        self._filled.note(state.request_id, blocks)
        self._busy_blocks.note_write(blocks)
        self._begin(loading)
        return tokens_by_tier(runs)

    def plan(self) -> list[Load]:
        """The loads of the step: those of requests that have just come, and some of the others."""
        loads, self._planned = self._planned, []
        most = _A_STEP
        for loading in list(self._rests.values()):
            piece = self._advance(loading, most)
            most -= len(piece)
            loads += piece
            if not most:
                break
        return loads

    def plan_gaps(self) -> list[GapJob]:
        """What the step computes between passages that have come."""
        jobs = []
        for loading, job in self._gap_jobs.plan(self._gap_tokens_a_step):
            self._own(loading, job.job, _COMPUTED)
            jobs.append(job)
        return jobs

    def end(self, job: int, *, failed: bool) -> RequestState | None:
        """A load or a gap job has ended; returns its request if nothing of it is left to do."""
        loading = self._owners.pop(job)
        tier = loading.jobs.pop(job)
        self._filled.end(job, failed=failed)
        if loading.jobs and not failed:
            return None
        request_id = loading.state.request_id
        if failed:
            loading.failed_tier = loading.failed_tier or tier
            self._failed.add(request_id)
            if loading.state.record is not None and tier != _VOIDED:
                loading.state.record.give_up(LOAD_FAILED, self._used_tokens(loading, job))
            self._matching.forget(request_id)  # what the store said is not so
            self._give_up(loading)  # what is behind it is computed, too
        if loading.jobs or request_id in self._rests:
            return None
        if loading.timer is not None:
            self._timing.end_load(loading.timer, loading.failed_tier)
        if self._fails_whole(loading):
            self._failures.add(request_id)
            return None
        if loading.gaps is not None and not self._ends_blend(loading, loading.gaps, tier):
            return None
        del self._loading[request_id]
        self._filled.forget(request_id)
        return loading.state

    def void(self, state: RequestState) -> None:
        """What has arrived for the request is not what its model computes: it must not begin so."""
        if state.record is not None and self.is_loading(state.request_id):
            state.record.give_up(WEIGHTS_CHANGED, 0)
        if not self._groups.are_one:
            if (under_way := self._loading.get(state.request_id)) is not None:
                under_way.failed_tier = under_way.failed_tier or _VOIDED
                self._failed.add(state.request_id)
            return
        job = self._filled.void(state.request_id)
        if job is not None:
            loading = self._loading[state.request_id]
            self._gap_jobs.give_up(loading)
            self._own(loading, job, _VOIDED)

    def take_voided(self) -> Mapping[int, tuple[int, ...]]:
        """Blocks that the next step reports as failed, by job."""
        return self._filled.take_voided()

    def take_times(self, times: Mapping[int, LoadTimes]) -> None:
        """Workers report what some loads took, by job."""
        for job, took in times.items():
            state = self.owner(job)
            if state is not None and state.record is not None:
                state.record.take(job, took)

    def owner(self, job: int) -> RequestState | None:
        """The request that the load ``job`` is for; None: it is for no request."""
        loading = self._owners.get(job)
        return None if loading is None else loading.state

    def owns(self, job: int) -> bool:
        """Whether a load that has not ended was planned here."""
        return job in self._owners

    def is_loading(self, request_id: str) -> bool:
        """Whether the request is not received yet."""
        return request_id in self._loading

    def has_failed(self, request_id: str) -> bool:
        """Whether a load of the request has failed; it is computed then."""
        return request_id in self._failed

    def loaded_from(self, request_id: str) -> Mapping[str, int]:
        """The tokens of the request's latest load, by tier, without moved ones."""
        return self._hits.tokens(request_id)

    def abort(self, request_id: str) -> None:
        """The request, which is loading, needs no more than is under way."""
        if self._failures.is_told(request_id):
            return  # the workers' report receives it
        self._failures.forget(request_id)
        loading = self._loading[request_id]
        self._gap_jobs.give_up(loading)
        self._give_up(loading)
        if not loading.jobs:
            del self._loading[request_id]
            self._filled.forget(request_id)
            self._given_up.add(request_id)

    def forget(self, request_id: str) -> None:
        """The request is over, and received."""
        self._hits.forget(request_id)
        self._failed.discard(request_id)

    @property
    def is_behind(self) -> bool:
        """Whether chunks, or gaps, wait for their jobs."""
        return bool(self._rests or self._gap_jobs)

    @property
    def has_given_up(self) -> bool:
        """Whether ``take_given_up`` or ``take_failing`` returns a request."""
        return bool(self._given_up or self._failures)

    def take_given_up(self) -> set[str]:
        """Requests received since the last call, beside those that ``end`` returns."""
        taken, self._given_up = self._given_up, set()
        return taken

    def take_failing(self) -> frozenset[str]:
        """Requests whose loads have failed as a whole, for the next step to tell the engine."""
        return self._failures.take()

    def end_failing(self, request_ids: Iterable[str]) -> None:
        """The engine has been told that these have failed, which receives them."""
        for request_id in request_ids:
            self._failures.forget(request_id)
            del self._loading[request_id]

    def _fails_whole(self, loading: Loading) -> bool:
        """Whether the engine must drop the whole load.

        A part of it is of use only where the request may continue behind any chunk.
        """
        is_awaited = not loading.state.is_finished
        return is_awaited and loading.failed_tier is not None and not self._groups.are_one

    def _reserve(self, state: RequestState, order: LoadOrder | BlendOrder) -> Reservation:
        reservation = self._planner.reserve(order.keys, state.control.priority)
        assert len(reservation.slots) == len(order.keys), "a match exceeds what there is room for"
        return reservation

    def _due(self, span: Span) -> float:
        return self._timing.deadline_s(span.tokens, span.first_token)

    def _begin(self, loading: Loading) -> None:
        request_id = loading.state.request_id
        self._loading[request_id] = self._rests[request_id] = loading
        if len(loading.reservation.slots) <= _AT_ONCE:
            self._planned += self._advance(loading, _AT_ONCE)

    def _ends_blend(self, loading: Loading, gaps: GapProgress, tier: str) -> bool:
        """Go on with a blend of which no job is under way; returns whether it is over."""
        if loading.failed_tier is not None:
            # Between the passages that have come there are gaps, so none of them is of use.
            self._gap_jobs.give_up(loading)
            blocks = loading.blocks_behind(gaps.blend.start, self._block_tokens)
            self._own(loading, self._filled.void_blocks(blocks), _VOIDED)
            return False
        if tier != _COMPUTED:
            self._timing.end_copies(gaps, tokens_by_tier(loading.runs))
        elif not gaps.left:
            self._timing.end_gaps(gaps)
        if gaps.left:
            self._gap_jobs.enqueue(loading)
        return not gaps.left

    def _used_tokens(self, loading: Loading, failed_job: int) -> int:
        """The leading tokens of a load that are of use although ``failed_job`` brought nothing."""
        return loading.tokens_before(failed_job) if self._groups.are_one else 0

    def _own(self, loading: Loading, job: int, tier: str) -> None:
        loading.jobs[job] = tier
        self._owners[job] = loading

    def _time(self, reservation: Reservation, runs: Sequence[Run], span: Span) -> LoadTimer | None:
        """Begin to time what the request will load, unless it is the load of others."""
        tokens = tokens_by_tier(runs)
        # The part of others tells nothing of how long the whole takes.
        return None if reservation.is_shared else self._timing.begin_load(tokens, span.first_token)

    def _advance(self, loading: Loading, most: int) -> list[Load]:
        """Jobs for the next chunks of a request."""
        state, first = loading.state, loading.reservation.begun
        placements = loading.order.placements(first, first + most, state.block_ids)
        left_s = self._timing.left_s(loading.deadline_s)
        loads = self._planner.load_next(loading.reservation, placements, left_s)
        if self._groups.are_one:
            self._filled.begin(state.request_id, loads)
        slots = [None if load.fetch else load.slot for load in loads]
        tiers = self._matching.tiers(loading.located, [load.key for load in loads], slots)
        if state.record is not None:
            state.record.tiers |= zip((load.job for load in loads), tiers, strict=True)
            loads = [load._replace(is_timed=True) for load in loads]
        for load, tier in zip(loads, tiers, strict=True):
            self._own(loading, load.job, tier)
            self._busy_blocks.note_write(load.block_ids)
        if not loading.reservation.left:
            del self._rests[state.request_id]
        return loads

    def _give_up(self, loading: Loading) -> None:
        """Load none of the chunks that have no jobs yet."""
        if self._rests.pop(loading.state.request_id, None) is None:
            return
        begun_tokens = loading.order.tokens(loading.reservation.begun)
        tokens = tokens_by_tier(leading(loading.runs, begun_tokens))
        if loading.timer is not None:
            loading.timer = replace(loading.timer, tokens=tokens) if tokens else None
        loading.reservation.release()
