"""Defines the messages that vLLM carries between the scheduler's and the workers' processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorHandshakeMetadata,
    KVConnectorMetadata,
    KVConnectorWorkerMetadata,
)

from kvtransfer.plan import Report
from kvtransfer.requests.keys.weights import Expectation, Holding  # noqa: TC001 - vLLM may read the annotations
from kvtransfer.requests.step import StepPlan  # noqa: TC001

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest

    from kvtransfer.connector.vllm.caches.model_facts import ModelFacts
    from kvtransfer.requests.keys.adapter import Held

Question: TypeAlias = "tuple[int, LoRARequest]"
"""A ticket, under which workers answer, and the adapter that a request names."""


@dataclass(frozen=True)
class FactsMessage(KVConnectorHandshakeMetadata):
    """Tells the scheduler's side, before the first request, what a worker holds."""

    facts: ModelFacts


@dataclass(frozen=True)
class AdapterStep:
    """Says what a step asks and tells workers about LoRA adapters."""

    questions: tuple[Question, ...] = ()
    in_use: frozenset[int] = frozenset()
    """The ids of the running requests' adapters, which must stay loaded."""
    bound: dict[int, tuple[int, int]] = field(default_factory=dict)
    """The adapter's id of each load or save job, and how often it had changed at planning.

    The job is refused if the adapter has changed again."""


@dataclass
class PlanMessage(KVConnectorMetadata):
    """Carries a step's plan from the scheduler to every worker."""

    plan: StepPlan
    weights: Expectation
    adapters: AdapterStep | None = None


@dataclass
class ReportMessage(KVConnectorWorkerMetadata):
    """Carries the workers' reports to the scheduler; vLLM sums them over the workers."""

    report: Report = field(default_factory=Report)
    step: int | None = None
    """The number of the step that has ended, if that step computed something."""
    weights: dict[int, Holding] = field(default_factory=dict)
    """The weights that each rank holds, of ranks whose weights the plan didn't expect."""
    adapters: dict[int, list[Held | None]] = field(default_factory=dict)
    """Answers by ticket, one from each rank."""
    voided: frozenset[int] = frozenset()
    """Jobs of the plan's voided blocks, which vLLM has been told of."""
    failed_requests: frozenset[str] = frozenset()
    """The plan's requests whose loads have failed, which vLLM has been told of."""
    blend_refusal: str | None = None
    """Why this model's passages can't be moved, once that was found."""

    def aggregate(self, other: KVConnectorWorkerMetadata) -> ReportMessage:
        """Return the sum of this message and that of another worker."""
        assert isinstance(other, ReportMessage)
        both = Report()
        both.add(self.report)
        both.add(other.report)
        answers = {
            ticket: [*self.adapters.get(ticket, ()), *other.adapters.get(ticket, ())]
            for ticket in self.adapters.keys() | other.adapters.keys()
        }
        step = self.step if self.step is not None else other.step
        return ReportMessage(
            both,
            step,
            {**self.weights, **other.weights},
            answers,
            self.voided | other.voided,
            self.failed_requests | other.failed_requests,
            self.blend_refusal or other.blend_refusal,
        )
