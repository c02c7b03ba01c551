"""Stands in for vLLM's scheduler and workers: calls ours as vLLM does, and times each call."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeVar

from benchmarks.measure import Sample
from kvtransfer.connector.vllm.step_input import leading_tokens, read_step
from kvtransfer.plan import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvtransfer.requests.scheduler import Scheduler
    from kvtransfer.requests.step import BlockIds, StepPlan

CHUNK_TOKENS, BLOCK_TOKENS = 256, 16
LONG_TOKENS = 100_000
STEP_TOKENS, MOST_RUNNING = 8192, 256
_STEP_S = 0.002
"""A model's forward, short: it leaves the processor to our threads."""
T = TypeVar("T")


@dataclass
class Arrival:
    """A request, as far as a connector sees one."""

    request_id: str
    all_token_ids: list[int]
    answer_tokens: int
    computed_tokens: int = 0
    block_ids: list[int] = field(default_factory=list)
    cache_salt: None = None
    lora_request: None = None
    prompt_embeds: None = None
    skip_reading_prefix_cache: None = None
    mm_features: tuple[()] = ()
    resumable: bool = False

    def __post_init__(self) -> None:
        self.num_prompt_tokens = len(self.all_token_ids)

    @property
    def kind(self) -> str:
        """Of its calls in the results: long ones are looked at apart."""
        return "/128k" if self.num_prompt_tokens > LONG_TOKENS else ""

    @property
    def is_done(self) -> bool:
        return len(self.all_token_ids) >= self.num_prompt_tokens + self.answer_tokens


class EngineLoop:
    """Runs arrivals to their end; whatever a worker is told to do is done one step later."""

    groups = (0,)
    """The numbers of the model's cache groups."""

    def __init__(self, side: Scheduler) -> None:
        self.calls: dict[str, list[Sample]] = defaultdict(list)
        """By call, in vLLM's words."""
        self.loaded_tokens = 0
        self._side = side
        self._waiting: deque[Arrival] = deque()
        self._loading: dict[str, Arrival] = {}
        self._running: list[Arrival] = []
        self._blocks = 0
        self._report = Report()

    @property
    def is_busy(self) -> bool:
        return bool(self._waiting or self._loading or self._running or self._side.is_saving)

    def arrive(self, arrival: Arrival) -> None:
        self._timed(f"on_new_request{arrival.kind}", lambda: self._side.track(arrival))
        self._waiting.append(arrival)

    def step(self) -> None:
        """Run one round of vLLM's loop."""
        scheduled = {a.request_id: 1 for a in self._running}
        for arrival in self._running:
            missing = len(arrival.all_token_ids) - arrival.computed_tokens
            scheduled[arrival.request_id] = self._cut(arrival, min(missing, STEP_TOKENS))
        new = list(self._admit(STEP_TOKENS - sum(scheduled.values()), scheduled))
        output = self._output(new, scheduled)
        plan = self._timed(
            "build_connector_meta", lambda: self._side.plan(read_step(output, self.groups))
        )
        self._running += new
        time.sleep(_STEP_S)
        self._end(plan, scheduled)

    def _admit(self, budget: int, scheduled: dict[str, int]) -> Iterator[Arrival]:
        skipped: deque[Arrival] = deque()
        room = MOST_RUNNING - len(self._running)
        while self._waiting and budget > 0 and room > 0:
            arrival = self._waiting.popleft()
            external = 0
            if not arrival.computed_tokens:
                external = self._match(arrival)
                if external is None:
                    skipped.append(arrival)
                    continue
            arrival.block_ids = arrival.block_ids or self._take_blocks(arrival)
            self._timed(
                f"update_state_after_alloc{arrival.kind}",
                lambda a=arrival, n=external: self._side.admit(a, self._table(a, n), n),
            )
            if external:
                arrival.computed_tokens = min(external, arrival.num_prompt_tokens - 1)
                self.loaded_tokens += external
                self._loading[arrival.request_id] = arrival
                continue
            left = arrival.num_prompt_tokens - arrival.computed_tokens
            tokens = self._cut(arrival, min(budget, left))
            scheduled[arrival.request_id] = tokens
            budget, room = budget - tokens, room - 1
            yield arrival
        self._waiting.extendleft(reversed(skipped))

    def _match(self, arrival: Arrival) -> int | None:
        call = f"get_num_new_matched_tokens{arrival.kind}"
        spans = self._timed(call, lambda: self._side.match(arrival, 0))
        return None if spans is None else leading_tokens(spans, 0)

    def _take_blocks(self, arrival: Arrival) -> list[int]:
        count = -(-(arrival.num_prompt_tokens + arrival.answer_tokens) // BLOCK_TOKENS)
        self._blocks += count
        return list(range(self._blocks - count, self._blocks))

    def _table(self, arrival: Arrival, external_tokens: int = 0) -> BlockIds:
        """The request's blocks of each group, where it loads ``external_tokens`` or computes."""
        return (arrival.block_ids,)

    def _cut(self, arrival: Arrival, tokens: int) -> int:
        """How many of the next ``tokens`` of a request one step may compute."""
        return tokens

    def _output(self, new: list[Arrival], scheduled: dict[str, int]) -> SimpleNamespace:
        return SimpleNamespace(
            scheduled_new_reqs=[
                SimpleNamespace(
                    req_id=a.request_id,
                    block_ids=self._table(a),
                    num_computed_tokens=a.computed_tokens,
                )
                for a in new
            ],
            scheduled_cached_reqs=SimpleNamespace(
                req_ids=[a.request_id for a in self._running],
                resumed_req_ids=set(),
                new_block_ids=[None] * len(self._running),
                num_computed_tokens=[a.computed_tokens for a in self._running],
            ),
            num_scheduled_tokens=scheduled,
            total_num_scheduled_tokens=sum(scheduled.values()),
        )

    def _end(self, plan: StepPlan, scheduled: dict[str, int]) -> None:
        report, self._report = self._report, _all_of(plan)
        received = self._timed(
            "update_connector_output", lambda: self._side.take(report, plan.step)
        )
        for request_id in received:
            self._waiting.appendleft(self._loading.pop(request_id))
        for arrival in self._running:
            arrival.computed_tokens += scheduled[arrival.request_id]
            if arrival.computed_tokens == len(arrival.all_token_ids):
                arrival.all_token_ids.append(1)
        done = [arrival for arrival in self._running if arrival.is_done]
        self._running = [arrival for arrival in self._running if not arrival.is_done]
        for arrival in done:
            self._timed(
                "request_finished", lambda a=arrival: self._side.finish(a, owns_blocks=True)
            )
        self._timed("has_pending_push_work", lambda: self._side.is_saving)
        self._timed("get_kv_connector_stats", self._side.counted)

    def _timed(self, call: str, work: Callable[[], T]) -> T:
        cpu_s, wall_s = time.thread_time(), time.perf_counter()
        result = work()
        wall_s = time.perf_counter() - wall_s
        self.calls[call].append(Sample(wall_s, time.thread_time() - cpu_s))
        return result


def _all_of(plan: StepPlan) -> Report:
    saves = {save.job: 1 for save in (*plan.first_saves, *plan.jobs.saves)}
    stored = {**saves, **{put.job: 1 for put in plan.jobs.puts}}
    return Report({load.job: 1 for load in plan.jobs.loads}, saves, stored)
