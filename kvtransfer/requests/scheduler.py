"""Decides what a request can load, which jobs a step brings, and what has come of them.

Instant: no call here waits for the network, a disk or a device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.plan import Plan, Save
from kvtransfer.requests.admission import Admission
from kvtransfer.requests.blending.blending import Blending
from kvtransfer.requests.blending.known_passages import KnownPassages
from kvtransfer.requests.blending.wish import NoWishes
from kvtransfer.requests.keys.keying import Keying
from kvtransfer.requests.loading.awaited import Awaited, Prefilled, nothing_prefilled
from kvtransfer.requests.loading.loads import Loads
from kvtransfer.requests.loading.match import Matching
from kvtransfer.requests.loading.prefetch import Prefetch
from kvtransfer.requests.requests import Requests
from kvtransfer.requests.router_events.router_events import NoRouterEvents
from kvtransfer.requests.saving.block_pins import NoPins
from kvtransfer.requests.saving.busy_blocks import BusyBlocks
from kvtransfer.requests.saving.passing_saves import PassingSaves
from kvtransfer.requests.saving.saves import Saves
from kvtransfer.requests.step import StepPlan
from kvtransfer.requests.step_reader import StepReader
from kvtransfer.requests.timing import HOST

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, ValuesView

    from kvtransfer.plan import GapJob, Load, Report
    from kvtransfer.requests.basis import Basis
    from kvtransfer.requests.blending.wish import Wishes
    from kvtransfer.requests.control import Controls
    from kvtransfer.requests.keys.agreed_weights import AgreedWeights
    from kvtransfer.requests.keys.request_keys import RequestKeys
    from kvtransfer.requests.keys.weights import Expectation, Holding
    from kvtransfer.requests.loading.match import Span
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.requests.router_events.event import RouterEvent
    from kvtransfer.requests.router_events.router_events import RouterEvents
    from kvtransfer.requests.saving.block_pins import BlockPins
    from kvtransfer.requests.served import Served
    from kvtransfer.requests.step import BlockIds, EngineRequest, StepInput
    from kvtransfer.requests.tracing.load_record import LoadTracer
    from kvtransfer.scheduling.exchange.exchange import Exchange
    from kvtransfer.scheduling.planner import Settled

# While nothing is computed, a worker waits this long for a load or an answer instead of returning
# at once: steps that spin would take the interpreter lock from the threads that do the work.
_LOAD_POLL_S = 0.005
_ANSWER_POLL_S = 0.0005


class Scheduler:
    """All bookkeeping of one engine; for its scheduler's thread.

    Args:
        basis: slots, the store's answers, learned times; closed with the scheduler.
        request_keys: the engine's; closed with the scheduler.
        weights: those that the engine's workers hold, as ``request_keys`` knows them.
        pins: keep blocks that the engine takes back; None: steps wait for their copies.
        wishes: which requests are blended; None: none is.
        exchange: tells and learns what other processes have saved; closed with the scheduler. None:
            passages of this process alone are reused.
        controls: how callers want their requests to be cached; None: like any other.
        router_events: what routers are told; None: nothing.
        prefilled: how much of a request another engine has just computed, and is about to put.
        tracer: gets records of all loads; closed with the scheduler. None: nothing is recorded.
    """

    def __init__(
        self,
        basis: Basis,
        request_keys: RequestKeys,
        weights: AgreedWeights,
        pins: BlockPins | None = None,
        wishes: Wishes | None = None,
        exchange: Exchange | None = None,
        controls: Controls | None = None,
        router_events: RouterEvents | NoRouterEvents | None = None,
        prefilled: Prefilled = nothing_prefilled,
        tracer: LoadTracer | None = None,
    ) -> None:
        self._basis = basis
        self._weights = weights
        self._busy_blocks = BusyBlocks()
        chunk_tokens, clock = basis.groups.chunk_tokens, basis.timing.clock
        awaited = Awaited(prefilled, chunk_tokens, basis.longest_wait_s, clock)
        self._matching = Matching(basis, awaited)
        self._prefetch = Prefetch(basis, self._matching)
        self._loads = Loads(basis, self._matching, self._busy_blocks)
        self._saves = Saves(basis, self._matching, self._busy_blocks)
        self._keying = Keying(
            request_keys, weights, self._matching, self._loads, self._saves, basis.timing.clock
        )
        self._requests = Requests(
            self._keying,
            self._matching,
            self._prefetch,
            self._loads,
            self._saves,
            controls,
            basis.trace,
            tracer,
        )
        passages = KnownPassages(basis.groups.chunk_tokens, exchange)
        self._blending = Blending(basis, self._matching, wishes or NoWishes(), passages)
        self._exchange = exchange
        self._router_events = router_events or NoRouterEvents()
        self._pins = NoPins() if pins is None else pins
        self._passing_saves = PassingSaves(basis, self._saves, self._pins)
        self._steps = StepReader(
            basis, self._requests, self._busy_blocks, self._saves, self._passing_saves
        )
        self._admission = Admission(
            basis,
            self._keying,
            self._matching,
            self._loads,
            self._requests,
            self._steps,
            self._blending,
        )

    def track(self, request: EngineRequest) -> None:
        """A request has come: begin to find out what the store holds of it."""
        self._requests.begin(request)

    def match(self, request: EngineRequest, local_tokens: int) -> tuple[Span, ...] | None:
        """Tokens of ``request`` behind ``local_tokens`` that a load could bring; None: ask again.

        One span or two, without a gap between them: tokens loaded as they were computed, then some
        among which passages are reused that stood elsewhere.
        """
        return self._admission.match(request, local_tokens)

    def admit(self, request: EngineRequest, block_ids: BlockIds, external_tokens: int) -> None:
        """The request has ``block_ids``; ``external_tokens`` of its match are to be loaded."""
        self._admission.admit(request, block_ids, external_tokens)
        self._router_events.compare(self._requests[request.request_id], self._matching)

    def plan(self, step: StepInput) -> StepPlan:
        """What the workers do in ``step``."""
        self._keying.name_all(self._requests.states())
        counts = self._steps.read(step)
        # Loads come first: none may count on the bytes of a save of the same step.
        loads = self._plan_loads()
        reuses_blocks = self._busy_blocks.take_rewritten()
        first_saves = self._saves.rest() if reuses_blocks else []
        saves = self._plan_saves(step)
        planner = self._basis.planner
        puts = tuple(planner.plan_puts())
        gap_jobs = self._loads.plan_gaps() if self._keying.is_possible else []
        self._router_events.expect(self.owned([*loads, *first_saves, *saves]), puts)
        return StepPlan(
            Plan(tuple(loads), tuple(saves), puts),
            first_saves=tuple(first_saves),
            reuses_blocks=reuses_blocks,
            gap_jobs=tuple(gap_jobs),
            step=self._time(counts, step, gap_jobs),
            poll_s=0.0 if step.computes else self._poll_s(),
            voided_blocks=self._loads.take_voided(),
            failed_requests=self._loads.take_failing(),
            wants_report=self._loads.has_given_up,
        )

    def owned(self, jobs: Iterable[Load | Save]) -> Iterator[tuple[Load | Save, RequestState]]:
        """Each of ``jobs``, planned and not ended, that is for a request, with that request."""
        for job in jobs:
            jobs_of = self._saves if isinstance(job, Save) else self._loads
            if (state := jobs_of.owner(job.job)) is not None:
                yield job, state

    def states(self) -> ValuesView[RequestState]:
        """All requests that have not ended, or that still load."""
        return self._requests.states()

    def rest(self) -> list[Save]:
        """What is left to be saved of ended requests, where no step will bring it."""
        saves = self._saves.rest()
        self._router_events.expect(self.owned(saves), ())
        return saves

    def take(
        self,
        report: Report,
        step: int | None = None,
        voided: Collection[int] = (),
        failed_requests: Collection[str] = (),
    ) -> set[str]:
        """Take in the workers' report.

        Args:
            report: summed over all workers.
            step: number of the step that it ends, where that computed something.
            voided: the jobs of the step's ``voided_blocks``.
            failed_requests: those of the step.

        Returns:
            The requests whose loads have all ended.
        """
        if step is not None:
            self._basis.timing.steps.end(step)
        planner = self._basis.planner
        settled = planner.settle(report)
        self._router_events.settle(report, settled, planner.index.take_changes())
        self._loads.take_times(report.times)
        received = self._loads.take_given_up()
        received.update(self._end_loads(settled, voided))
        self._end_saves(settled)
        self._loads.end_failing(failed_requests)
        received.update(failed_requests)
        self._requests.receive(received)
        return received

    def finish(self, request: EngineRequest, *, owns_blocks: bool) -> None:
        """The request is over, and its blocks are the engine's again; a preempted one had none.

        One that is aborted while it loads is held back by the engine until it is received.
        """
        self._admission.end(request.request_id)
        self._requests.finish(request.request_id, owns_blocks=owns_blocks)

    def served(self, request: EngineRequest) -> Served:
        """What has come of the request, which is about to be finished."""
        name = request.request_id
        return self._requests.served(name, self._blending.outcome(name))

    def host_tokens(self, request: EngineRequest) -> int:
        """How many of the tokens to load for ``request`` host memory held."""
        return self._loads.loaded_from(request.request_id).get(HOST, 0)

    @property
    def is_saving(self) -> bool:
        """Whether copies out of blocks are under way, or of finished requests still to begin."""
        return bool(self._busy_blocks)

    def note_local_reset(self) -> None:
        """The engine has just emptied its own prefix cache, and told routers so."""
        self._keying.local_cache.note_reset()
        self._router_events.repeat()

    def reset(self) -> None:
        """The weights may have changed: load and save nothing before workers have read them again.

        What is cached stays: it is found by the weights that computed it.
        """
        self._weights.ask_to_reread()

    def expect_weights(self) -> Expectation:
        """What the next plan says about the weights."""
        return self._weights.expect()

    def take_weights(self, held: Mapping[int, Holding]) -> None:
        """Take in what workers hold, where they have told it."""
        if held and self._keying.take(held, self._requests.states()):
            self._router_events.withdraw()

    def take_router_events(self) -> list[RouterEvent]:
        """What routers are to be told since the last call, oldest first."""
        return self._router_events.take(self._basis.planner.index.take_changes())

    def counted(self) -> dict[str, float]:
        """Amounts by counter since the last call."""
        metrics, planner = self._basis.metrics, self._basis.planner
        metrics.add("evicted_chunks", planner.index.take_evictions())
        for name, count in planner.index.take_tenant_counts().items():
            metrics.add(name, count)
        metrics.add("put_lost_chunks", planner.take_lost())
        metrics.add("lookup_late", self._basis.store.take_late())
        if self._exchange is not None:
            for name, count in self._exchange.take_counted().items():
                metrics.add(name, count)
        return metrics.take()

    def close(self) -> None:
        """End the lookups."""
        self._requests.close()
        self._keying.close()
        if self._exchange is not None:
            self._exchange.close()
        self._basis.close()

    def _end_loads(self, settled: Settled, voided: Collection[int]) -> Iterator[str]:
        """The requests of which no load is left."""
        for job in (*settled.loaded, *settled.computed):
            failed = job in settled.failed
            if not self._loads.owns(job):
                self._prefetch.end(job, failed=failed)
            elif loaded := self._loads.end(job, failed=failed):
                yield loaded.request_id
        for job in voided:
            if self._loads.owns(job) and (waited := self._loads.end(job, failed=True)):
                yield waited.request_id

    def _end_saves(self, settled: Settled) -> None:
        saved_tokens = 0
        for job in settled.copied:
            tokens = self._saves.end(job)
            self._pins.unpin(job)
            saved_tokens += 0 if job in settled.failed else tokens
        self._basis.metrics.add("saved_tokens", saved_tokens)
        if settled.copied:
            self._blending.learn_saved()

    def _time(
        self, counts: Sequence[int], step: StepInput, gap_jobs: Sequence[GapJob]
    ) -> int | None:
        """Begin to time the step; one that computes gaps beside its tokens tells nothing."""
        if gap_jobs:
            return None
        return self._basis.timing.steps.begin(counts, step.computed_tokens)

    def _plan_saves(self, step: StepInput) -> list[Save]:
        if not self._keying.is_possible:
            self._passing_saves.skip()
            return []
        return [*self._passing_saves.plan(step.tables), *self._saves.plan(step.scheduled_tokens)]

    def _plan_loads(self) -> list[Load]:
        if not self._keying.is_possible:
            return []
        return [*self._loads.plan(), *self._prefetch.plan()]

    def _poll_s(self) -> float:
        if self._basis.planner.is_loading and not self._loads.is_behind:
            return _LOAD_POLL_S
        is_behind = self._loads.is_behind or self._saves.are_behind
        asks = self._matching.is_waiting or self._blending.is_waiting
        awaited = self._busy_blocks or self._keying.is_busy or asks
        return _ANSWER_POLL_S if is_behind or awaited else 0.0
