"""One step of an engine: what it says about its requests, and what its workers are to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from kvtransfer.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from kvtransfer.plan import GapJob, Load, Save

BlockIds: TypeAlias = "tuple[Sequence[int], ...]"
"""A request's blocks in token order, one sequence for each cache group. Read, never written."""


class EngineRequest(Protocol):
    """What an engine knows of a request; the engine owns it and extends its tokens."""

    @property
    def request_id(self) -> str:
        """Unique among the requests that have not ended."""

    @property
    def all_token_ids(self) -> Sequence[int]:
        """Tokens of the prompt and of the answer so far."""

    @property
    def num_prompt_tokens(self) -> int:
        """Length of the prompt as far as it has come."""

    @property
    def resumable(self) -> bool:
        """Whether more input may join the request."""


class GivenBlocks(NamedTuple):
    """Blocks that the engine gives to a request in a step."""

    request_id: str
    block_ids: BlockIds


@dataclass(frozen=True, slots=True)
class StepInput:
    """What an engine is about to compute in one step.

    The values of running requests are columns, for an engine schedules hundreds of them.
    """

    request_ids: Sequence[str] = ()
    """All scheduled requests, those of ``begun`` first and in the same order."""
    computed_tokens: Sequence[int] = ()
    """How many tokens of each request were computed before the step."""
    scheduled_tokens: Mapping[str, int] = field(default_factory=dict)
    """How many tokens of each scheduled request the step computes, by id."""
    begun: Sequence[GivenBlocks] = ()
    """Requests scheduled for the first time, with all their blocks."""
    resumed: Collection[str] = ()
    """Preempted requests that compute again; the blocks they had are no longer theirs."""
    added: Sequence[GivenBlocks] = ()
    """Blocks added to requests that had begun; all blocks of the resumed ones."""
    tables: Callable[[str], BlockIds] | None = None
    """The blocks of a scheduled request as the engine knows them in this step, with 0 for those that
    it has taken back. Asked only where a cache group doesn't read all tokens, and only while the step is
    being planned."""

    @property
    def computes(self) -> bool:
        """Whether the step computes any token."""
        return any(self.scheduled_tokens.values())


@dataclass(frozen=True)
class StepPlan:
    """What every worker does in one step: jobs, and when to begin them and to report."""

    jobs: Plan = field(default_factory=Plan)
    first_saves: tuple[Save, ...] = ()
    """Saves whose copies end before the step writes any block."""
    reuses_blocks: bool = False
    """The step writes blocks that earlier saves still read: finish those copies first."""
    gap_jobs: tuple[GapJob, ...] = ()
    """What every worker computes between passages that have arrived, after this step's forward or
    before the next."""
    step: int | None = None
    """Number of the step, returned with its report; None: the step computes nothing."""
    poll_s: float = 0.0
    """How long a worker waits for something to report, in a step that computes nothing."""
    voided_blocks: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """Blocks to report as failed, by job: loads filled them with what other weights computed."""
    failed_requests: frozenset[str] = frozenset()
    """Requests whose loads have failed as a whole: every worker reports them so."""
    wants_report: bool = False
    """Workers report even if no job has ended."""

    @property
    def copies(self) -> tuple[Load | Save, ...]:
        """The jobs that copy between blocks and slots."""
        return (*self.jobs.loads, *self.first_saves, *self.jobs.saves)
