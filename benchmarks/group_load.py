"""Stands in for vLLM with several cache groups: keeps tables of blocks, and counts bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.scheduler_load import BLOCK_TOKENS, EngineLoop
from kvtransfer.chunks.reach import State
from kvtransfer.connector.vllm.step_input import served
from kvtransfer.scheduling.lookup.located import Located

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future
    from types import SimpleNamespace

    from benchmarks.scheduler_load import Arrival
    from kvtransfer.connector.vllm.caches.model_facts import ModelFacts
    from kvtransfer.requests.scheduler import Scheduler
    from kvtransfer.requests.step import BlockIds, StepPlan

_GROUP_BLOCKS = 10_000_000
"""Blocks of different groups have different numbers."""
NULL_BLOCK = 0


class StoredPieces:
    """A store that answers at once: ``sizes`` are the bytes of each piece by its key."""

    tiers = ("remote",)

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.found: Mapping[str, str] = {}
        self._answers: dict[str, Located | None] = {}
        """By request; None: its keys are not known yet."""

    @property
    def is_waiting(self) -> bool:
        return None in self._answers.values()

    def ask(self, request_id: str, keys: Sequence[str]) -> None:
        held = self.sizes.keys() & set(keys)
        self._answers[request_id] = Located(dict.fromkeys(held, "remote"))

    def ask_when_known(self, request_id: str, keys: Future[Sequence[str]]) -> None:
        self._answers[request_id] = None
        keys.add_done_callback(lambda known: self.ask(request_id, known.result()))

    def asked(self, request_id: str) -> bool:
        return request_id in self._answers

    def answer(self, request_id: str) -> Located | None:
        return self._answers[request_id]

    def waited_s(self, request_id: str) -> float:
        return 0.0

    def took_s(self, request_id: str) -> float:
        return 0.0

    def forget(self, request_id: str) -> None:
        self._answers.pop(request_id, None)

    def take_answer_seconds(self) -> list[float]:
        return []

    def take_late(self) -> int:
        return 0

    def close(self) -> None:
        pass


class GroupLoop(EngineLoop):
    """An engine of the model ``facts``, whose workers put into ``store`` and fetch from it.

    A table has null blocks where the group's layers read no more, and where a state is not the
    last. Where there are states, a prompt's step ends at its last whole block.
    """

    def __init__(self, side: Scheduler, facts: ModelFacts, store: StoredPieces) -> None:
        super().__init__(side)
        self.groups = facts.numbers
        self.stored_bytes = 0
        self.fetched_bytes = 0
        self._tilings = facts.groups.tilings
        self._formats = facts.formats
        self._store = store
        self._steps: dict[str, Arrival] = {}
        """The requests that the step schedules."""

    def _table(self, arrival: Arrival, external_tokens: int = 0) -> BlockIds:
        computed = external_tokens or arrival.computed_tokens
        return tuple(
            self._group_table(group, arrival.block_ids, computed)
            for group in range(len(self._tilings))
        )

    def _group_table(self, group: int, block_ids: Sequence[int], computed: int) -> list[int]:
        tiling = self._tilings[group]
        ratio = tiling.block_tokens // BLOCK_TOKENS
        first = tiling.reach.first_token(computed) // tiling.block_tokens
        blocks = [block + 1 + group * _GROUP_BLOCKS for block in block_ids[::ratio]]
        return [*([NULL_BLOCK] * first), *blocks[first:]]

    def _cut(self, arrival: Arrival, tokens: int) -> int:
        unit = max(t.block_tokens for t in self._tilings)
        if not any(isinstance(tiling.reach, State) for tiling in self._tilings):
            return tokens
        last = (arrival.num_prompt_tokens - 1) // unit * unit
        begin = arrival.computed_tokens
        return last - begin if begin < last < begin + tokens else tokens

    def _output(self, new: list[Arrival], scheduled: dict[str, int]) -> SimpleNamespace:
        output = super()._output(new, scheduled)
        self._steps = {arrival.request_id: arrival for arrival in (*new, *self._running)}
        output.kv_connector_block_state = self
        return output

    def get_block_ids(self, request_id: str) -> BlockIds:
        """As vLLM's ``KVConnectorBlockState``."""
        return served(self._table(self._steps[request_id]), self.groups)

    def _end(self, plan: StepPlan, scheduled: dict[str, int]) -> None:
        for job in (*plan.first_saves, *plan.jobs.saves, *plan.jobs.puts):
            if job.key not in self._store.sizes:
                nbytes = self._formats.of(job.key).nbytes
                self._store.sizes[job.key] = nbytes
                self.stored_bytes += nbytes
        fetches = [load for load in plan.jobs.loads if load.fetch]
        self.fetched_bytes += sum(self._formats.of(load.key).nbytes for load in fetches)
        super()._end(plan, scheduled)
