"""The messages between the two sides, as vLLM carries them: ours in its envelopes."""

from __future__ import annotations

from dataclasses import dataclass, field

from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorMetadata,
    KVConnectorWorkerMetadata,
)

from kvtransfer.plan import Plan, Report


@dataclass
class StepPlan(KVConnectorMetadata):
    """Scheduler to every worker, once a step."""

    plan: Plan


@dataclass
class StepReport(KVConnectorWorkerMetadata):
    """Worker to scheduler, summed over workers."""

    report: Report = field(default_factory=Report)
    step: int | None = None
    """Whose report it is, where something was computed."""

    def aggregate(self, other: KVConnectorWorkerMetadata) -> StepReport:
        """This and ``other``, of another worker."""
        assert isinstance(other, StepReport)
        both = Report()
        both.add(self.report)
        both.add(other.report)
        return StepReport(both, self.step if self.step is not None else other.step)
