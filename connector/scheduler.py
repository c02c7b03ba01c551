"""Decides: what a request can restore, which jobs a step brings, what has come of them.

Instant: no call here waits for the network, a disk or a device.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.lookup import Lookup
from kvtransfer.metrics import Metrics
from kvtransfer.plan import Load, Plan, Report, Save
from kvtransfer.planner import Planner

from .ahead import Ahead
from .busy_blocks import BusyBlocks
from .hasher import Hasher
from .key_space import KeySpace
from .offers import Offers
from .pace import Pace
from .tracked import Tracked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vllm.config import VllmConfig
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.request import Request

    from kvtransfer.config import TransferConfig
    from kvtransfer.tiling import Tiling

    from .vllm_facts import ModelFacts

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
        planner: Planner,
        lookup: Lookup | None,
        pace: Pace,
        tiling: Tiling,
        duties: Duties,
        metrics: Metrics,
    ) -> None:
        self._key_space = key_space
        self._planner = planner
        self._offers = Offers(planner, lookup, pace, tiling)
        self._ahead = Ahead(planner, self._offers, pace, tiling, metrics)
        self._pace = pace
        self._tiling = tiling
        self._duties = duties
        self._metrics = metrics
        self._epoch = ""
        self._requests: dict[str, Tracked] = {}
        self._hasher = Hasher()
        self._owners: dict[int, Tracked] = {}
        """By job, until its blocks are the request's own again."""
        self._busy_blocks = BusyBlocks()
        self._held: set[str] = set()
        """Finished requests whose blocks vLLM keeps until they have been copied out."""
        self._planned: list[Load] = []
        self._reuses_blocks = False

    def track(self, request: Request) -> None:
        """A request has come: begin to find out what the store holds of it."""
        request_id, chain = request.request_id, self._key_space.chain(request, self._epoch)
        tracked = self._requests[request_id] = Tracked(request, chain)
        if chain is not None:
            tracked.hashing = self._hasher.begin(chain, request.all_token_ids)
        if tracked.hashing is None:
            tracked.note(self._planner.index)
            self._offers.ask(request_id, tracked.keys)
        else:
            self._offers.ask_when_known(request_id, tracked.hashing)
        self._ahead.enqueue(tracked)

    def match(self, request: Request, local_tokens: int) -> int | None:
        """Tokens beyond ``local_tokens`` that a load could bring; None: ask again."""
        if request.request_id not in self._requests:
            self.track(request)
        tracked = self._requests[request.request_id]
        tracked.local_tokens = local_tokens
        self._ahead.dequeue(request.request_id)
        if not tracked.is_hashed():
            return None
        tracked.note(self._planner.index)
        if not (self._duties.loads and tracked.loads):
            return 0
        offer = self._offers.make(request.request_id, tracked.keys, local_tokens)
        if offer is None:
            return None
        worth = offer.worth_tokens
        if not worth and offer.host_tokens and self._pace.take_trial():
            worth = offer.host_tokens
        tracked.refused_tokens = offer.tokens - worth
        return worth

    def admit(self, request: Request, block_ids: Sequence[int], external_tokens: int) -> None:
        """The request has ``block_ids``, and ``external_tokens`` of them are to be loaded."""
        tracked = self._requests[request.request_id]
        tracked.block_ids = list(block_ids)
        self._metrics.add("refused_tokens", tracked.refused_tokens)
        tracked.refused_tokens = 0
        if external_tokens == 0:
            return
        skip_tokens = tracked.local_tokens
        end_tokens = skip_tokens + external_tokens
        keys = tracked.keys[: -(-end_tokens // self._tiling.chunk_tokens)]
        targets = self._tiling.targets(keys, block_ids, skip_tokens)
        within_s = self._pace.patience_s(external_tokens, skip_tokens)
        shares = any(self._planner.is_on_its_way(target.key) for target in targets)
        loads = self._planner.load(targets, within_s)
        assert len(loads) == len(targets), "match promised what there is no room for"
        self._planned += loads
        for load in loads:
            tracked.loading.add(load.job)
            self._owners[load.job] = tracked
            self._note_reuse(load.block_ids)
        fetched_tokens = sum(self._tokens(load) for load in loads if load.fetch)
        tracked.host_tokens = external_tokens - fetched_tokens
        if not shares:  # the part of others tells nothing of how long the whole takes
            tracked.journey = self._pace.begin_load(
                tracked.host_tokens, fetched_tokens, skip_tokens
            )
        self._metrics.add("store_hit_tokens", fetched_tokens)
        self._metrics.add("host_hit_tokens", tracked.host_tokens)

    def plan(self, output: SchedulerOutput) -> Plan:
        """The jobs of the step that ``output`` describes."""
        saves: list[Save] = []
        parts: list[tuple[int, int]] = []
        for tracked, context_tokens in self._progress(output):
            tokens = output.num_scheduled_tokens[tracked.request.request_id]
            parts.append((tokens, context_tokens))
            if self._duties.saves:
                saves += self._save(tracked, context_tokens + tokens)
        plan = Plan(
            (*self._planned, *self._ahead.plan()),
            tuple(saves),
            self._reuses_blocks,
            self._pace.begin_step(parts),
            self._patience_s(output),
            tuple(self._planner.put_leaving()),
        )
        self._planned, self._reuses_blocks = [], False
        for save in saves:
            self._busy_blocks.begin(save.job, save.block_ids)
        return plan

    def take(self, report: Report, step: int | None = None) -> tuple[set[str], set[str]]:
        """Take in what the workers report at the end of ``step``, where it computed something.

        Returns:
            The requests whose loads have all ended, and the finished ones whose blocks, held back
            by ``finish``, are free.
        """
        if step is not None:
            self._pace.end_step(step)
        settled = self._planner.settle(report)
        received = [self._end_load(job, failed=job in settled.failed) for job in settled.loaded]
        sent = [self._end_copy(job) for job in settled.copied]
        return set(filter(None, received)), set(filter(None, sent))

    def finish(self, request: Request) -> bool:
        """The request is over; True holds its blocks back until ``take`` returns it as sent.

        One that is aborted while it loads is held back by vLLM itself, until it is received.
        """
        tracked = self._requests[request.request_id]
        tracked.is_finished = True
        self._ahead.dequeue(request.request_id)
        self._offers.forget(request.request_id)
        if tracked.loading:
            return False
        if tracked.copying:
            self._held.add(request.request_id)
            return True
        del self._requests[request.request_id]
        return False

    def host_tokens(self, request: Request) -> int:
        """How many of the tokens to load for ``request`` host memory held."""
        return self._requests[request.request_id].host_tokens

    @property
    def holds_blocks(self) -> bool:
        """Whether blocks of finished requests are still to be freed."""
        return bool(self._held)

    def reset(self) -> None:
        """The weights may have changed: nothing cached so far, here or in the store, is good.

        From now on this instance uses keys of its own, unknown to all others.
        """
        self._epoch = secrets.token_hex(8)
        self._planner.index.clear()
        for tracked in self._requests.values():
            tracked.chain = None

    def counted(self) -> dict[str, float]:
        """Amounts by counter since the last call."""
        self._metrics.add("evicted_chunks", self._planner.index.take_evictions())
        self._metrics.add("put_lost_chunks", self._planner.take_lost())
        self._metrics.add("lookup_late", self._offers.take_late())
        return self._metrics.take()

    def close(self) -> None:
        """End the lookups."""
        self._hasher.close()
        self._offers.close()

    def _progress(self, output: SchedulerOutput) -> Iterator[tuple[Tracked, int]]:
        """Each scheduled request, with its blocks of the step, and its tokens computed before."""
        block_tokens = self._tiling.block_tokens
        for new in output.scheduled_new_reqs:
            tracked = self._requests[new.req_id]
            tracked.block_ids = list(new.block_ids[0])
            self._note_reuse(tracked.block_ids[new.num_computed_tokens // block_tokens :])
            yield tracked, new.num_computed_tokens
        cached = output.scheduled_cached_reqs
        for request_id, blocks, computed_tokens in zip(
            cached.req_ids, cached.new_block_ids, cached.num_computed_tokens, strict=True
        ):
            tracked = self._requests[request_id]
            if request_id in cached.resumed_req_ids:
                tracked.block_ids = []
            if blocks:
                # What it writes is new to it, or was so in an earlier step and seen to then.
                tracked.block_ids += blocks[0]
                self._note_reuse(blocks[0])
            yield tracked, computed_tokens

    def _save(self, tracked: Tracked, computed_tokens: int) -> list[Save]:
        chunk_tokens = self._tiling.chunk_tokens
        if computed_tokens // chunk_tokens <= tracked.saved_chunks:
            return []  # most often so, while it decodes
        # Drafted tokens are computed too, but have no place among the ids until accepted.
        request = tracked.request
        known = len(request.all_token_ids)
        tokens = min(
            computed_tokens, known if self._duties.saves_decode else request.num_prompt_tokens
        )
        first, end = tracked.saved_chunks, tokens // chunk_tokens
        if end <= first:
            return []
        tracked.saved_chunks = end
        return list(self._save_chunks(tracked, first, tracked.keys[:end]))

    def _save_chunks(self, tracked: Tracked, first: int, keys: Sequence[str]) -> Iterator[Save]:
        stored = self._offers.known(tracked.request.request_id)
        for chunk in range(first, len(keys)):
            key = keys[chunk]
            if key in stored or key in self._planner.index:
                continue
            blocks = self._tiling.blocks(chunk, tracked.block_ids)
            save = self._planner.save(key, blocks, after=keys[chunk - 1] if chunk else None)
            if save is None:
                self._metrics.add("save_skipped_chunks")
                continue
            tracked.copying.add(save.job)
            self._owners[save.job] = tracked
            yield save

    def _tokens(self, load: Load) -> int:
        return len(load.block_ids) * self._tiling.block_tokens

    def _note_reuse(self, block_ids: Sequence[int]) -> None:
        """``block_ids`` will be written: not before they have been copied out."""
        if self._busy_blocks and not self._reuses_blocks:
            self._reuses_blocks = self._busy_blocks.holds_any(block_ids)

    def _patience_s(self, output: SchedulerOutput) -> float:
        if output.total_num_scheduled_tokens:
            return 0.0
        if self._planner.is_loading:
            return _LOAD_PATIENCE_S
        awaited = self._busy_blocks or self._hasher.is_busy or self._offers.is_waiting
        return _ANSWER_PATIENCE_S if awaited else 0.0

    def _end_load(self, job: int, *, failed: bool) -> str | None:
        """Returns the request that has nothing left to load."""
        if self._ahead.end(job, failed=failed):
            return None
        tracked = self._owners.pop(job)
        tracked.loading.discard(job)
        request_id: str = tracked.request.request_id
        if failed:
            tracked.loads = False
            self._offers.forget(request_id)  # what it told is not so
        if tracked.loading:
            return None
        if tracked.journey is not None:
            self._pace.end_load(tracked.journey, failed=not tracked.loads)
            tracked.journey = None
        if tracked.is_finished:
            del self._requests[request_id]
        return request_id

    def _end_copy(self, job: int) -> str | None:
        """Returns the finished request whose last blocks this has freed."""
        tracked = self._owners.pop(job)
        tracked.copying.discard(job)
        self._busy_blocks.end(job)
        request_id: str = tracked.request.request_id
        if tracked.copying or request_id not in self._held:
            return None
        self._held.discard(request_id)
        del self._requests[request_id]
        return request_id
