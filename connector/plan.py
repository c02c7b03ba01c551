"""The messages between the two sides, as vLLM carries them: ours in its envelopes."""

from __future__ import annotations

from dataclasses import dataclass, field

from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorMetadata,
    KVConnectorWorkerMetadata,
)

from kvtransfer.plan import Plan, Report

from .weights_news import Expectation, Holding  # noqa: TC001 - vLLM may read the annotations


@dataclass
class StepPlan(KVConnectorMetadata):
    """Scheduler to every worker, once a step."""

    plan: Plan
    weights: Expectation


@dataclass
class StepReport(KVConnectorWorkerMetadata):
    """Worker to scheduler, summed over workers."""

    report: Report = field(default_factory=Report)
    step: int | None = None
    """Whose report it is, where something was computed."""
    weights: dict[int, Holding] = field(default_factory=dict)
    """By rank, what the plan didn't know."""

    def aggregate(self, other: KVConnectorWorkerMetadata) -> StepReport:
        """This and ``other``, of another worker."""
        assert isinstance(other, StepReport)
        both = Report()
        both.add(self.report)
        both.add(other.report)
        step = self.step if self.step is not None else other.step
        return StepReport(both, step, {**self.weights, **other.weights})
