"""The messages between the two sides, in the classes that vLLM carries between its processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorMetadata,
    KVConnectorWorkerMetadata,
)

from kvtransfer.plan import Report
from kvtransfer.requests.keys.weights import Expectation, Holding  # noqa: TC001 - vLLM may read the annotations
from kvtransfer.requests.step import StepPlan  # noqa: TC001

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest

    from kvtransfer.requests.keys.adapter import Held

Question: TypeAlias = "tuple[int, LoRARequest]"
"""A number to answer under, and the adapter that a request names."""


@dataclass(frozen=True)
class AdapterStep:
    """What a step says about LoRA adapters."""

    questions: tuple[Question, ...] = ()
    in_use: frozenset[int] = frozenset()
    """Adapters of running requests, by id: they are to stay loaded."""
    bound: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Loads and saves that are right only while the adapter with this id has changed so often."""


@dataclass
class PlanMessage(KVConnectorMetadata):
    """Goes from the scheduler to every worker, once a step."""

    plan: StepPlan
    weights: Expectation
    adapters: AdapterStep | None = None


@dataclass
class ReportMessage(KVConnectorWorkerMetadata):
    """Goes from the workers to the scheduler, summed over workers."""

    report: Report = field(default_factory=Report)
    step: int | None = None
    """Number of the step that it ends, where that computed something."""
    weights: dict[int, Holding] = field(default_factory=dict)
    """What each rank holds, where the plan didn't know it."""
    adapters: dict[int, list[Held | None]] = field(default_factory=dict)
    """Answers to each question, one from each rank."""
    voided: frozenset[int] = frozenset()
    """Jobs of the plan's voided blocks, which vLLM has been told of."""

    def aggregate(self, other: KVConnectorWorkerMetadata) -> ReportMessage:
        """This and ``other``, of another worker."""
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
            both, step, {**self.weights, **other.weights}, answers, self.voided | other.voided
        )
