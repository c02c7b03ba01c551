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
from kvtransfer.planner import Planner, Target

from .key_space import KeySpace
from .pace import Pace
from .tracked import Tracked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence, Set

    from vllm.config import VllmConfig
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.request import Request

    from kvtransfer.config import TransferConfig
    from kvtransfer.planner import Tiling

    from .pace import Journey
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
        self._lookup = lookup
        self._pace = pace
        self._tiling = tiling
        self._duties = duties
        self._metrics = metrics
        self._epoch = ""
        self._requests: dict[str, Tracked] = {}
        self._owners: dict[int, Tracked] = {}
        """By job, until its blocks are the request's own again."""
        self._copying: dict[int, tuple[int, ...]] = {}
        """Blocks by save job, until they have been copied out."""
        self._probes: dict[int, Journey] = {}
        """By job: loads that are for no request."""
        self._planned: list[Load] = []
        self._reuses_blocks = False

    def track(self, request: Request) -> None:
        """A request has come: begin to find out what the store holds of it."""
        tracked = Tracked(request, self._key_space.chain(request, self._epoch))
        self._requests[request.request_id] = tracked
        self._planner.index.note_request(tracked.keys)
        keys = [key for key in tracked.keys if key not in self._planner.index]
        if self._lookup is not None and keys:
            self._lookup.ask(request.request_id, keys)

    def match(self, request: Request, local_tokens: int) -> int | None:
        """Tokens beyond ``local_tokens`` that a load could bring; None: ask again."""
        if request.request_id not in self._requests:
            self.track(request)
        tracked = self._requests[request.request_id]
        tracked.local_tokens = local_tokens
        if not (self._duties.loads and tracked.loads):
            return 0
        first = local_tokens // self._tiling.chunk_tokens
        keys = tracked.keys[first:]
        held = self._planner.held(keys)
        beyond = keys[held:]
        stored = self._stored(request.request_id, beyond) if beyond else frozenset()
        if stored is None:
            return None
        chunks = self._planner.loadable(keys, stored)
        host_tokens, tokens = (
            max(0, (first + count) * self._tiling.chunk_tokens - local_tokens)
            for count in (min(held, chunks), chunks)
        )
        worth = self._pace.worth(local_tokens, host_tokens, tokens - host_tokens)
        if worth < tokens:
            self._probe(keys[held])
        tracked.refused_tokens = tokens - worth
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
        loads = self._planner.load(targets)
        assert len(loads) == len(targets), "match promised what there is no room for"
        self._planned += loads
        for load in loads:
            tracked.loading.add(load.job)
            self._owners[load.job] = tracked
            self._note_reuse(load.block_ids)
        fetched_tokens = sum(self._tokens(load) for load in loads if load.fetch)
        tracked.host_tokens = external_tokens - fetched_tokens
        tracked.journey = self._pace.begin_load(tracked.host_tokens, fetched_tokens, skip_tokens)
        self._metrics.add("store_hit_tokens", fetched_tokens)
        self._metrics.add("host_hit_tokens", tracked.host_tokens)

    def plan(self, output: SchedulerOutput) -> Plan:
        """The jobs of the step that ``output`` describes."""
        saves: list[Save] = []
        parts: list[tuple[int, int]] = []
        for tracked, computed_tokens, written in self._progress(output):
            scheduled_tokens = output.num_scheduled_tokens[tracked.request.request_id]
            parts.append((scheduled_tokens, computed_tokens - scheduled_tokens))
            self._note_reuse(written)
            if self._duties.saves:
                saves += self._save(tracked, computed_tokens)
        plan = Plan(
            tuple(self._planned),
            tuple(saves),
            self._reuses_blocks,
            self._pace.begin_step(parts),
            self._patience_s(output),
        )
        self._planned, self._reuses_blocks = [], False
        self._copying.update({save.job: save.block_ids for save in saves})
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
        if self._lookup is not None:
            self._lookup.forget(request.request_id)
        tracked.holds_blocks = bool(tracked.copying) and not tracked.loading
        if not tracked.loading and not tracked.holds_blocks:
            del self._requests[request.request_id]
        return tracked.holds_blocks

    def host_tokens(self, request: Request) -> int:
        """How many of the tokens to load for ``request`` host memory held."""
        return self._requests[request.request_id].host_tokens

    @property
    def holds_blocks(self) -> bool:
        """Whether blocks of finished requests are still to be freed."""
        return any(tracked.holds_blocks for tracked in self._requests.values())

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
        if self._lookup is not None:
            self._metrics.add("lookup_late", self._lookup.take_late())
        return self._metrics.take()

    def close(self) -> None:
        """End the lookups."""
        if self._lookup is not None:
            self._lookup.close()

    def _probe(self, key: str) -> None:
        """Fetch ``key``, which nobody waits for, when it is time to see whether that got faster."""
        if self._pace.take_probe():
            for load in self._planner.load([Target(key)]):
                self._planned.append(load)
                self._probes[load.job] = self._pace.begin_probe(self._tiling.chunk_tokens)

    def _stored(self, request_id: str, keys: Sequence[str]) -> Set[str] | None:
        if self._lookup is None:
            return frozenset()
        if not self._lookup.asked(request_id):
            self._lookup.ask(request_id, keys)
        return self._lookup.answer(request_id)

    def _progress(self, output: SchedulerOutput) -> Iterator[tuple[Tracked, int, Sequence[int]]]:
        """For each scheduled request: its computed tokens after the step, the blocks it writes."""
        for new in output.scheduled_new_reqs:
            tracked = self._requests[new.req_id]
            tracked.block_ids = list(new.block_ids[0])
            yield self._step(tracked, output, new.num_computed_tokens)
        cached = output.scheduled_cached_reqs
        for i, request_id in enumerate(cached.req_ids):
            tracked, new_blocks = self._requests[request_id], cached.new_block_ids[i]
            if request_id in cached.resumed_req_ids:
                tracked.block_ids = []
            tracked.block_ids += new_blocks[0] if new_blocks else []
            yield self._step(tracked, output, cached.num_computed_tokens[i])

    def _step(
        self, tracked: Tracked, output: SchedulerOutput, computed_tokens: int
    ) -> tuple[Tracked, int, Sequence[int]]:
        scheduled_tokens = output.num_scheduled_tokens[tracked.request.request_id]
        written = tracked.block_ids[computed_tokens // self._tiling.block_tokens :]
        return tracked, computed_tokens + scheduled_tokens, written

    def _save(self, tracked: Tracked, computed_tokens: int) -> Iterator[Save]:
        # Drafted tokens are computed too, but have no place among the ids until accepted.
        request = tracked.request
        known = len(request.all_token_ids)
        tokens = min(
            computed_tokens, known if self._duties.saves_decode else request.num_prompt_tokens
        )
        stored = self._known_to_be_stored(request.request_id)
        keys = tracked.keys[: tokens // self._tiling.chunk_tokens]
        for chunk in range(tracked.saved_chunks, len(keys)):
            key = keys[chunk]
            if key in stored or key in self._planner.index:
                continue
            save = self._planner.save(key, self._tiling.blocks(chunk, tracked.block_ids))
            if save is None:
                self._metrics.add("save_skipped_chunks")
                continue
            tracked.copying.add(save.job)
            self._owners[save.job] = tracked
            yield save
        tracked.saved_chunks = max(tracked.saved_chunks, len(keys))

    def _known_to_be_stored(self, request_id: str) -> Set[str]:
        if self._lookup is None or not self._lookup.asked(request_id):
            return frozenset()
        return self._lookup.answer(request_id) or frozenset()

    def _tokens(self, load: Load) -> int:
        return len(load.block_ids) * self._tiling.block_tokens

    def _note_reuse(self, block_ids: Sequence[int]) -> None:
        """``block_ids`` will be written: not before they have been copied out."""
        if self._copying and not self._reuses_blocks:
            busy = set().union(*self._copying.values())
            self._reuses_blocks = not busy.isdisjoint(block_ids)

    def _patience_s(self, output: SchedulerOutput) -> float:
        if output.total_num_scheduled_tokens:
            return 0.0
        if self._planner.is_loading:
            return _LOAD_PATIENCE_S
        awaited = self._copying or (self._lookup is not None and self._lookup.is_waiting)
        return _ANSWER_PATIENCE_S if awaited else 0.0

    def _end_load(self, job: int, *, failed: bool) -> str | None:
        """Returns the request that has nothing left to load."""
        if job in self._probes:
            self._pace.end_probe(self._probes.pop(job), failed=failed)
            return None
        tracked = self._owners.pop(job)
        tracked.loading.discard(job)
        request_id: str = tracked.request.request_id
        if failed:
            tracked.loads = False
            if self._lookup is not None:
                self._lookup.forget(request_id)  # what it told is not so
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
        del self._copying[job]
        if tracked.copying or not tracked.holds_blocks:
            return None
        request_id: str = tracked.request.request_id
        del self._requests[request_id]
        return request_id
