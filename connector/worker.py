"""Obeys: runs each step's plan and tells what has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvtransfer.executor import Executor
from kvtransfer.plan import Plan, Report

from . import vllm_facts
from .plan import StepReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from kvtransfer.config import TransferConfig

    from .held_weights import HeldWeights
    from .plan import StepPlan
    from .vllm_facts import ModelFacts
    from .weights_news import Expectation


class WorkerSide:
    """One rank's copies; for the worker's main thread."""

    def __init__(
        self,
        config: TransferConfig,
        facts: ModelFacts,
        rank: int,
        caches: Mapping[str, torch.Tensor],
        weights: HeldWeights,
    ) -> None:
        self._rank = rank
        self._weights = weights
        paged = vllm_facts.paged_caches(facts, caches)
        self._executor = Executor.open(config, paged, facts.names(config), rank)
        self._loading: dict[int, tuple[int, ...]] = {}
        """Blocks by load job, until it has ended."""
        self._outdated: set[int] = set()
        """Loads of what other weights have computed."""
        self._report = Report()
        self._refuses = True
        self._refused = Report()
        self._executor.metrics.watch("loading_chunks", self._loading.__len__)

    def begin_step(self, expected: Expectation) -> None:
        """Look at the weights before anything is computed or copied in the step.

        Jobs planned for other weights than we hold are refused, and loads under way fail: they
        bring what other weights have computed.
        """
        if self._weights.check(expected):
            self._outdated.update(self._loading)
        self._refuses = not expected.fits(self._rank, self._weights.holding.fingerprint)

    def before_writes(self, plan: Plan) -> None:
        """Nothing has been written in this step so far, neither by the model nor by us."""
        if plan.reuses_blocks:
            self._executor.finish_copies()

    def load(self, plan: Plan) -> None:
        """Begin the step's loads, and put what leaves host memory."""
        self._loading.update({load.job: load.block_ids for load in plan.loads})
        loads = () if self._refuses else plan.loads
        self._executor.run(Plan(loads=loads, puts=plan.puts))
        if self._refuses:
            self._refused.add(refusal(Plan(loads=plan.loads)))

    def save(self, plan: Plan) -> None:
        """Begin the step's saves; the model's work of the step has been launched."""
        if self._refuses:
            self._refused.add(refusal(Plan(saves=plan.saves)))
        else:
            self._executor.run(Plan(saves=plan.saves))

    def take_report(self, plan: Plan) -> set[int]:
        """See what has ended; returns the blocks that failed loads left unfilled."""
        if plan.patience_s:
            self._executor.wait(plan.patience_s)
        self._report, refused = self._executor.report(), self._refused
        self._report.add(refused)
        self._refused = Report()
        self._report.failed |= self._outdated & self._report.loaded.keys()
        self._outdated -= self._report.loaded.keys()
        ended = {job: self._loading.pop(job) for job in self._report.loaded}
        return {block for job in self._report.failed & ended.keys() for block in ended[job]}

    def report(self, step: StepPlan) -> StepReport | None:
        """What ``take_report`` saw and the scheduler doesn't know; None: nothing of it matters."""
        holding = self._weights.holding
        knows = step.weights.fits(self._rank, holding.fingerprint)
        weights = {} if knows else {self._rank: holding}
        plan = step.plan
        is_wanted = self._report or weights or plan.wants_report or plan.step is not None
        return StepReport(self._report, plan.step, weights) if is_wanted else None

    def counted(self) -> dict[str, Any]:
        """Amounts by metric since the last call."""
        return self._executor.metrics.take()

    def close(self) -> None:
        """Finish what is under way and give what time allows to the store."""
        self._executor.close()


def refusal(plan: Plan) -> Report:
    """The report of jobs that are not even begun."""
    loads, saves = ([job.job for job in jobs] for jobs in (plan.loads, plan.saves))
    return Report(
        loaded=dict.fromkeys(loads, 1),
        copied=dict.fromkeys(saves, 1),
        stored={save.job: 1 for save in plan.saves if save.put},
        failed={*loads, *saves},
    )
