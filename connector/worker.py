"""Obeys: runs each step's plan and tells what has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvtransfer.executor import Executor
from kvtransfer.plan import Plan, Report

from . import vllm_facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from kvtransfer.config import TransferConfig
    from kvtransfer.plan import Save

    from .vllm_facts import ModelFacts


class WorkerSide:
    """One rank's copies; for the worker's main thread."""

    def __init__(
        self,
        config: TransferConfig,
        facts: ModelFacts,
        rank: int,
        caches: Mapping[str, torch.Tensor],
    ) -> None:
        paged = vllm_facts.paged_caches(facts, caches)
        self._executor = Executor.open(config, paged, facts.names(config), rank)
        self._loading: dict[int, tuple[int, ...]] = {}
        """Blocks by load job, until it has ended."""
        self._report = Report()
        self._executor.metrics.watch("loading_chunks", self._loading.__len__)

    def before_writes(self, plan: Plan) -> None:
        """Nothing has been written in this step so far, neither by the model nor by us."""
        self._executor.run(Plan(saves=plan.first_saves))
        if plan.reuses_blocks:
            self._executor.finish_copies()

    def load(self, plan: Plan) -> None:
        """Begin the step's loads, and put what leaves host memory."""
        self._loading.update({load.job: load.block_ids for load in plan.loads})
        self._executor.run(Plan(loads=plan.loads, puts=plan.puts))

    def save(self, plan: Plan) -> None:
        """Begin the step's saves; the model's work of the step has been launched."""
        self._executor.run(Plan(saves=plan.saves))

    def save_all(self, saves: Sequence[Save]) -> None:
        """Do ``saves`` to the end of their copies, while nothing is being computed."""
        self._executor.save_all(saves)

    def take_report(self, plan: Plan) -> set[int]:
        """See what has ended; returns the blocks that failed loads left unfilled."""
        if plan.patience_s:
            self._executor.wait(plan.patience_s)
        self._report = self._executor.report()
        ended = {job: self._loading.pop(job) for job in self._report.loaded}
        return {block for job in self._report.failed & ended.keys() for block in ended[job]}

    def report(self) -> Report:
        """What ``take_report`` saw."""
        return self._report

    def suspend(self) -> None:
        """The caches' memory is about to be taken away: finish with it."""
        self._executor.suspend()

    def resume(self) -> None:
        """The caches are where they were, their contents gone."""
        self._executor.resume()

    def counted(self) -> dict[str, Any]:
        """Amounts by metric since the last call."""
        return self._executor.metrics.take()

    def close(self) -> None:
        """Finish what is under way and give what time allows to the store."""
        self._executor.close()
