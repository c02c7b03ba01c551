"""Decides: what a request can restore, which jobs a step brings, what has come of them.

Instant: no call here waits for the network, a disk or a device.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import add
from typing import TYPE_CHECKING

from kvtransfer.connector.vllm.keys.adapters import Adapters
from kvtransfer.connector.vllm.keys.key_builder import KeySpace
from kvtransfer.connector.vllm.keys.media import Media
from kvtransfer.connector.vllm.keys.naming import Naming
from kvtransfer.metrics import Metrics
from kvtransfer.plan import Plan
from kvtransfer.requests.busy_blocks import BusyBlocks
from kvtransfer.requests.keys.agreed_weights import AgreedWeights
from kvtransfer.requests.keys.keying import Keying
from kvtransfer.requests.keys.local_cache import LocalCache
from kvtransfer.requests.loads import Loads
from kvtransfer.requests.match import Offers
from kvtransfer.requests.prefetch import Ahead
from kvtransfer.requests.request_state import Tracked
from kvtransfer.requests.saves import Saves
from kvtransfer.requests.timing import Pace
from kvtransfer.scheduling.lookup import Lookup
from kvtransfer.scheduling.planner import Planner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vllm.config import VllmConfig
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.request import Request

    from kvtransfer.chunks.tiling import Tiling
    from kvtransfer.config import TransferConfig
    from kvtransfer.connector.vllm.keys.loaded_adapters import Held
    from kvtransfer.connector.vllm.messages import AdapterStep
    from kvtransfer.connector.vllm.model_facts import ModelFacts
    from kvtransfer.plan import Report, Save
    from kvtransfer.requests.keys.weights import Expectation, Holding

# While nothing is computed, a worker waits so long for a load or an answer instead of returning
# at once: steps that spin would take the interpreter lock from the threads that do the work.
_LOAD_PATIENCE_S = 0.005
_ANSWER_PATIENCE_S = 0.0005


@dataclass(frozen=True)
class Duties:
    """What this instance does, by ``kv_role`` and configuration."""

    loads: bool
    saves: bool
    saves_decode: bool
    """Generated tokens too, not only prompts."""


class SchedulerSide:
    """All bookkeeping of one vLLM instance; for the scheduler's thread."""

    @classmethod
    def open(
        cls, config: TransferConfig, vllm_config: VllmConfig, facts: ModelFacts
    ) -> SchedulerSide:
        """For the model of ``facts``; the store is connected to when first asked."""
        transfer = vllm_config.kv_transfer_config
        duties = Duties(
            transfer.is_kv_consumer, transfer.is_kv_producer, saves_decode=config.save_decode
        )
        names = facts.names(config)
        metrics = Metrics()
        return cls(
            KeySpace(vllm_config, facts, config),
            AgreedWeights(facts.ranks),
            Adapters.open(vllm_config, facts.ranks),
            Media.open(vllm_config, trust_uuids=config.trust_media_uuids),
            Planner.open(config, facts.chunk, facts.ranks),
            Lookup.open(config, facts.chunk, names) if duties.loads else None,
            Pace(config.load_margin, metrics),
            facts.tiling,
            duties,
            metrics,
        )

    def __init__(
        self,
        key_space: KeySpace,
        weights: AgreedWeights,
        adapters: Adapters,
        media: Media,
        planner: Planner,
        lookup: Lookup | None,
        pace: Pace,
        tiling: Tiling,
        duties: Duties,
        metrics: Metrics,
    ) -> None:
        self._adapters = adapters
        self._weights = weights
        self.local_cache = LocalCache(weights)
        self._planner = planner
        self._offers = Offers(planner, lookup, pace, tiling)
        self._ahead = Ahead(planner, self._offers, pace, tiling, metrics)
        self._busy_blocks = BusyBlocks()
        self._loads = Loads(planner, self._offers, pace, tiling, self._busy_blocks, metrics)
        self._saves = Saves(
            planner,
            self._offers,
            tiling,
            self._busy_blocks,
            metrics,
            decode=duties.saves_decode,
        )
        self._keying = Keying(
            Naming(key_space, weights, adapters, media),
            weights,
            self.local_cache,
            media,
            self._offers,
            self._ahead,
            self._saves,
        )
        self._pace = pace
        self._tiling = tiling
        self._duties = duties
        self._metrics = metrics
        self._requests: dict[str, Tracked] = {}

    def track(self, request: Request) -> None:
        """A request has come: begin to find out what the store holds of it."""
        tracked = self._requests[request.request_id] = Tracked(request)
        self._keying.begin(tracked)

    def match(self, request: Request, local_tokens: int) -> int | None:
        """Tokens beyond ``local_tokens`` that a load could bring; None: ask again."""
        if request.request_id not in self._requests:
            self.track(request)
        tracked = self._requests[request.request_id]
        tracked.local_tokens = local_tokens
        self._ahead.dequeue(request.request_id)
        if not self._keying.renew(tracked):
            return None
        if not tracked.note(self._planner.index):
            return None
        if not (self._duties.loads and tracked.loads):
            return 0
        offer = self._offers.make(request.request_id, tracked.keys, local_tokens)
        if offer is None:
            return None
        store_tokens = offer.judged_tokens - offer.host_tokens
        self._pace.decide(local_tokens, offer.host_tokens, store_tokens)
        worth = offer.worth_tokens
        if not worth and offer.host_tokens and self._pace.take_trial():
            worth = offer.host_tokens
        tracked.refused_tokens = offer.tokens - worth
        return worth

    def admit(self, request: Request, block_ids: Sequence[int], external_tokens: int) -> None:
        """The request has ``block_ids``, and ``external_tokens`` of them are to be loaded."""
        tracked = self._requests[request.request_id]
        tracked.block_ids = list(block_ids)
        self._saves.begin_anew(tracked)
        if not external_tokens:  # the step writes them, or another connector does
            own = tracked.local_tokens // self._tiling.block_tokens
            self._busy_blocks.note_write(tracked.block_ids[own:])
        if tracked.refused_tokens:
            self._metrics.add("refused_tokens", tracked.refused_tokens)
            tracked.refused_tokens = 0
        if external_tokens:
            self._loads.begin(tracked, external_tokens)

    def plan(self, output: SchedulerOutput) -> Plan:
        """The jobs of the step that ``output`` describes."""
        self._keying.name_all(self._requests)
        request_ids, contexts = self._scheduled(output)
        scheduled = output.num_scheduled_tokens
        counts = [scheduled[request_id] for request_id in request_ids]
        if self._duties.saves:
            for request_id, tokens in self._saves.due(request_ids, map(add, contexts, counts)):
                self._saves.note(self._requests[request_id], tokens)
        # Loads come first: none may count on the bytes of a save of the same step.
        loads = [*self._loads.plan(), *self._ahead.plan()] if self._keying.is_possible else []
        reuses_blocks = self._busy_blocks.take_rewritten()
        first_saves = self._saves.rest() if reuses_blocks else []
        saves = self._saves.plan(scheduled) if self._keying.is_possible else []
        return Plan(
            tuple(loads),
            first_saves=tuple(first_saves),
            saves=tuple(saves),
            reuses_blocks=reuses_blocks,
            step=self._pace.begin_step(counts, contexts),
            patience_s=self._patience_s(output),
            puts=(*self._planner.put_leaving(), *self._planner.put_again()),
            wants_report=self._loads.has_given_up,
        )

    def adapter_step(self, plan: Plan) -> AdapterStep | None:
        """What the step of ``plan`` says about LoRA adapters."""
        if not self._adapters.are_used:
            return None
        loads = ((it.job, self._loads.owner(it.job)) for it in plan.loads)
        saves = ((it.job, self._saves.owner(it.job)) for it in (*plan.first_saves, *plan.saves))
        owned = [(job, owner) for job, owner in (*loads, *saves) if owner is not None]
        return self._adapters.plan(owned, self._requests.values())

    def take_answers(self, answers: Mapping[int, Sequence[Held | None]]) -> None:
        """Take in what the workers say of the adapters that they were asked about."""
        self._adapters.take(answers)

    def rest(self) -> list[Save]:
        """What is left to be saved of requests that are over, where no step will bring it."""
        return self._saves.rest()

    def take(self, report: Report, step: int | None = None) -> set[str]:
        """Take in the workers' report at the end of ``step``, where that computed something.

        Returns the requests whose loads have all ended.
        """
        if step is not None:
            self._pace.end_step(step)
        settled = self._planner.settle(report)
        received = self._loads.take_given_up()
        for job in settled.loaded:
            failed = job in settled.failed
            if not self._loads.owns(job):
                self._ahead.end(job, failed=failed)
            elif loaded := self._loads.end(job, failed=failed):
                received.add(loaded.request.request_id)
        for job in settled.copied:
            self._saves.end(job)
        saved = len(set(settled.copied) - settled.failed)
        self._metrics.add("saved_tokens", saved * self._tiling.chunk_tokens)
        for request_id in received:
            if self._requests[request_id].is_finished:
                self._forget(request_id)
        return received

    def finish(self, request: Request, *, owns_blocks: bool) -> None:
        """The request is over, and its blocks are vLLM's again; a preempted one had none.

        One that is aborted while it loads is held back by vLLM itself, until it is received.
        """
        tracked = self._requests[request.request_id]
        tracked.is_finished = True
        self._ahead.dequeue(request.request_id)
        if self._loads.is_loading(tracked):
            self._loads.abort(tracked)
        else:
            self._saves.finish(tracked, owns_blocks=owns_blocks)
            self._forget(request.request_id)

    def host_tokens(self, request: Request) -> int:
        """How many of the tokens to load for ``request`` host memory held."""
        return self._requests[request.request_id].host_tokens

    @property
    def is_saving(self) -> bool:
        """Whether copies out of blocks are under way, or of finished requests still to begin."""
        return bool(self._busy_blocks)

    def reset(self) -> None:
        """The weights may have changed: load and save nothing before workers have read them again.

        What is cached stays: it is found by the weights that computed it.
        """
        self._weights.ask_to_reread()

    def expect_weights(self) -> Expectation:
        """What goes out with the next plan."""
        return self._weights.expect()

    def take_weights(self, held: Mapping[int, Holding]) -> None:
        """Take in what workers hold, where they have told it."""
        if held:
            self._keying.take(held, self._requests.values())

    def counted(self) -> dict[str, float]:
        """Amounts by counter since the last call."""
        self._metrics.add("evicted_chunks", self._planner.index.take_evictions())
        self._metrics.add("put_lost_chunks", self._planner.take_lost())
        self._metrics.add("lookup_late", self._offers.take_late())
        return self._metrics.take()

    def close(self) -> None:
        """End the lookups."""
        self._keying.close()
        self._offers.close()

    def _scheduled(self, output: SchedulerOutput) -> tuple[list[str], list[int]]:
        """All scheduled requests, with their blocks of the step, and their tokens before it."""
        news, cached = output.scheduled_new_reqs, output.scheduled_cached_reqs
        for new in news:
            self._begin_anew(new.req_id, new.block_ids[0])
            tokens = new.num_computed_tokens
            self._busy_blocks.note_write(new.block_ids[0][tokens // self._tiling.block_tokens :])
        for request_id in cached.resumed_req_ids:
            self._begin_anew(request_id, ())
        for request_id, blocks in zip(cached.req_ids, cached.new_block_ids, strict=True):
            if blocks:
                # What it writes is new to it, or was so in an earlier step and seen to then.
                self._requests[request_id].block_ids += blocks[0]
                self._busy_blocks.note_write(blocks[0])
        return (
            [*(new.req_id for new in news), *cached.req_ids],
            [*(new.num_computed_tokens for new in news), *cached.num_computed_tokens],
        )

    def _begin_anew(self, request_id: str, block_ids: Sequence[int]) -> None:
        tracked = self._requests[request_id]
        tracked.block_ids = list(block_ids)
        self._saves.begin_anew(tracked)

    def _patience_s(self, output: SchedulerOutput) -> float:
        if output.total_num_scheduled_tokens:
            return 0.0
        if self._planner.is_loading and not self._loads.is_behind:
            return _LOAD_PATIENCE_S
        is_behind = self._loads.is_behind or self._saves.are_behind
        awaited = self._busy_blocks or self._keying.is_busy or self._offers.is_waiting
        return _ANSWER_PATIENCE_S if is_behind or awaited else 0.0

    def _forget(self, request_id: str) -> None:
        del self._requests[request_id]
        self._keying.forget(request_id)
        self._offers.forget(request_id)
        self._saves.forget(request_id)
