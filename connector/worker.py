"""Obeys: runs each step's plan and tells what has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvtransfer.executor import Executor
from kvtransfer.plan import Plan, Report

from . import vllm_facts
from .plan import AdapterStep

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from kvtransfer.config import TransferConfig

    from .loaded_adapters import Held, LoadedAdapters
    from .plan import StepPlan
    from .vllm_facts import ModelFacts


class WorkerSide:
    """One rank's copies; for the worker's main thread."""

    def __init__(
        self,
        config: TransferConfig,
        facts: ModelFacts,
        rank: int,
        caches: Mapping[str, torch.Tensor],
        adapters: LoadedAdapters,
    ) -> None:
        paged = vllm_facts.paged_caches(facts, caches)
        self._executor = Executor.open(config, paged, facts.names(config), rank)
        self._loading: dict[int, tuple[int, ...]] = {}
        """Blocks by load job, until it has ended."""
        self._report = Report()
        self._refused = Report()
        """Jobs whose adapter holds something else than it did when they were planned."""
        self._adapters = adapters
        self._answers: dict[int, list[Held | None]] = {}
        self._executor.metrics.watch("loading_chunks", self._loading.__len__)

    def before_writes(self, step: StepPlan) -> None:
        """Nothing has been written in this step so far, neither by the model nor by us."""
        if step.plan.reuses_blocks:
            self._executor.finish_copies()
        asked = AdapterStep() if step.adapters is None else step.adapters
        self._answers = {
            ticket: [self._adapters.find(lora, asked.in_use)] for ticket, lora in asked.questions
        }

    def load(self, step: StepPlan) -> None:
        """Begin the step's loads, and put what leaves host memory."""
        plan, changed = step.plan, self._changed(step.adapters)
        self._loading.update({load.job: load.block_ids for load in plan.loads})
        refused = [load.job for load in plan.loads if load.job in changed]
        self._refused.add(Report(loaded=dict.fromkeys(refused, 1), failed=set(refused)))
        loads = tuple(load for load in plan.loads if load.job not in changed)
        self._executor.run(Plan(loads=loads, puts=plan.puts))

    def save(self, step: StepPlan) -> None:
        """Begin the step's saves; the model's work of the step has been launched."""
        plan, changed = step.plan, self._changed(step.adapters)
        refused = [save for save in plan.saves if save.job in changed]
        jobs = [save.job for save in refused]
        unput = [save.job for save in refused if save.put]
        self._refused.add(
            Report(copied=dict.fromkeys(jobs, 1), stored=dict.fromkeys(unput, 1), failed=set(jobs))
        )
        self._executor.run(Plan(saves=tuple(s for s in plan.saves if s.job not in changed)))

    def take_report(self, plan: Plan) -> set[int]:
        """See what has ended; returns the blocks that failed loads left unfilled."""
        if plan.patience_s:
            self._executor.wait(plan.patience_s)
        self._report = self._executor.report()
        self._report.add(self._refused)
        self._refused = Report()
        ended = {job: self._loading.pop(job) for job in self._report.loaded}
        return {block for job in self._report.failed & ended.keys() for block in ended[job]}

    def report(self) -> Report:
        """What ``take_report`` saw."""
        return self._report

    def answers(self) -> dict[int, list[Held | None]]:
        """What the adapters hold that this step asks about, by question."""
        return self._answers

    def counted(self) -> dict[str, Any]:
        """Amounts by metric since the last call."""
        return self._executor.metrics.take()

    def close(self) -> None:
        """Finish what is under way and give what time allows to the store."""
        self._executor.close()

    def _changed(self, step: AdapterStep | None) -> set[int]:
        """Jobs whose adapter was replaced since they were planned."""
        bound = {} if step is None else step.bound
        return {job for job, seen in bound.items() if not self._adapters.are_still(*seen)}
