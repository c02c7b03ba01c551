"""Runs each step's plan on one worker, and reports which jobs have ended."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kvtransfer.connector.refusals import Refusals
from kvtransfer.connector.vllm.blend.gap_work import GapWork
from kvtransfer.connector.vllm.caches import model_facts
from kvtransfer.connector.vllm.messages import AdapterStep, ReportMessage
from kvtransfer.plan import Plan, Report
from kvtransfer.worker.executor import Executor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.config import TransferConfig
    from kvtransfer.connector.vllm.blend.blender import Blender
    from kvtransfer.connector.vllm.caches.model_facts import ModelFacts
    from kvtransfer.connector.vllm.keys.loaded_adapters import LoadedAdapters
    from kvtransfer.connector.vllm.messages import PlanMessage
    from kvtransfer.connector.vllm.weights.held import HeldWeights
    from kvtransfer.plan import Save
    from kvtransfer.requests.keys.adapter import Held
    from kvtransfer.requests.keys.weights import Expectation
    from kvtransfer.requests.step import StepPlan


class WorkerSide:
    """Loads and saves one rank's part of chunks; only the worker's main thread may call it."""

    def __init__(
        self,
        config: TransferConfig,
        facts: ModelFacts,
        rank: int,
        caches: Mapping[str, torch.Tensor],
        weights: HeldWeights,
        adapters: LoadedAdapters,
        open_blender: Callable[[Sequence[Sequence[PagedCaches]]], Blender],
    ) -> None:
        self._rank = rank
        self._weights = weights
        paged = model_facts.paged_caches(facts, caches)
        names, shards = facts.names(config), facts.ranks.shards_on(rank)
        self._executor = Executor.open(
            config, paged, facts.formats, names, shards, puts=facts.ranks.puts(rank)
        )
        self._reports_blocks = facts.groups.are_one
        """Whether vLLM can go on behind the part of a load that has arrived."""
        self._loading: dict[int, tuple[int, ...]] = {}
        """The blocks of each load job that has not ended."""
        self._outdated: set[int] = set()
        """Load jobs that bring what other weights have computed."""
        self._report = Report()
        self._checked_for = 0
        """The number of the plan for which the weights were last checked."""
        self._is_expected = False
        """Whether the step was planned for the weights that this worker holds."""
        self._refusals = Refusals()
        self._adapters = adapters
        self._gaps = GapWork(partial(open_blender, paged), self._executor)
        self._answers: dict[int, list[Held | None]] = {}
        self._executor.metrics.watch("loading_chunks", self._loading.__len__)

    def begin_step(self, expected: Expectation) -> None:
        """Check the weights before the step computes or copies anything.

        If they have changed, loads under way fail: they bring what the old weights computed.
        """
        if expected.plan == self._checked_for:
            return
        self._checked_for = expected.plan
        if self._weights.check(expected):
            self._outdated.update(self._loading)
        self._is_expected = expected.fits(self._rank, self._weights.holding.fingerprint)

    def before_writes(self, step: PlanMessage) -> None:
        """Do what must come before the step's first write to blocks, by the model or by a load.

        Copy out blocks that are about to be overwritten, and answer questions about adapters.
        """
        self.begin_step(step.weights)
        first_saves = self._refusals.accept(step.plan.first_saves, self._is_wrong(step))
        self._executor.run(Plan(saves=first_saves))
        if step.plan.reuses_blocks:
            self._executor.finish_copies()
        asked = AdapterStep() if step.adapters is None else step.adapters
        self._answers = {
            ticket: [self._adapters.find(lora, asked.in_use)] for ticket, lora in asked.questions
        }

    def load(self, step: PlanMessage) -> None:
        """Begin the step's loads, and its puts of chunks that leave host memory; compute gaps."""
        jobs = step.plan.jobs
        self._loading.update({load.job: load.block_ids for load in jobs.loads})
        puts = self._refusals.accept(
            jobs.puts, lambda _: False
        )  # their keys name the weights that computed them
        loads = self._refusals.accept(jobs.loads, self._is_wrong(step))
        self._gaps.prepare(loads)
        self._executor.run(Plan(loads=loads, puts=puts))
        if self._is_expected:
            self._gaps.compute(step.plan.gap_jobs)
        else:
            self._gaps.refuse(step.plan.gap_jobs)

    def save(self, step: PlanMessage) -> None:
        """Begin the step's saves, after the model's work of the step was launched."""
        saves = self._refusals.accept(step.plan.jobs.saves, self._is_wrong(step))
        self._executor.run(Plan(saves=saves))

    def save_all(self, saves: Sequence[Save]) -> None:
        """Copy ``saves`` and wait for the copies, while the model computes nothing."""
        self._executor.save_all(saves)

    def take_report(self, plan: StepPlan) -> set[int]:
        """Collect what has ended; return the blocks that failed loads left unfilled, and voided ones."""
        if plan.poll_s and not plan.gap_jobs:
            self._executor.wait(plan.poll_s)
        self._report = self._executor.report()
        self._report.add(self._refusals.take())
        self._report.add(self._gaps.take())
        self._report.failed |= self._outdated & self._report.loaded.keys()
        self._outdated -= self._report.loaded.keys()
        ended = {job: self._loading.pop(job) for job in self._report.loaded}
        if not self._reports_blocks:
            return set()
        unfilled = {block for job in self._report.failed & ended.keys() for block in ended[job]}
        return unfilled.union(*plan.voided_blocks.values())

    def report(self, step: PlanMessage) -> ReportMessage | None:
        """Return what ``take_report`` collected, or None if there is nothing to tell the scheduler."""
        plan, weights = step.plan, {}
        if not step.weights.fits(self._rank, self._weights.holding.fingerprint):
            weights = {self._rank: self._weights.holding}
        told = plan.voided_blocks or plan.failed_requests
        refusal = self._gaps.take_refusal()
        is_news = bool(self._report or weights or self._answers or told or refusal)
        if not (is_news or plan.wants_report or plan.step is not None):
            return None
        voided = frozenset(plan.voided_blocks)
        failed = plan.failed_requests
        return ReportMessage(
            self._report, plan.step, weights, self._answers, voided, failed, refusal
        )

    def suspend(self) -> None:
        """Finish all copies: vLLM is about to unmap the caches' memory."""
        self._executor.suspend()

    def resume(self) -> None:
        """Copy again: the caches are mapped at the same addresses, without their contents."""
        self._executor.resume()

    def counted(self) -> dict[str, Any]:
        """Return what was counted since the last call, by metric."""
        return self._executor.metrics.take()

    def close(self) -> None:
        """Finish what is under way, and put into the store what the time allows."""
        self._executor.close()

    def _is_wrong(self, step: PlanMessage) -> Callable[[int], bool]:
        """Return a check whether a job was planned for weights or an adapter that have changed."""
        if not self._is_expected:
            return lambda _: True
        bound = {} if step.adapters is None else step.adapters.bound
        changed = {job for job, seen in bound.items() if not self._adapters.are_still(*seen)}
        return changed.__contains__
