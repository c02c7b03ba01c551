"""Ends jobs of cache groups that have no layers on a rank, as on some stages of a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from kvtransfer.chunks.keys import group_of
from kvtransfer.plan import Load, Plan, Put, Save

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.worker.outcomes import Outcomes

Job = TypeVar("Job", Load, Save, Put)


class AbsentGroups:
    """Reports the jobs of absent groups as done at once: their shards are empty.

    Args:
        groups: the numbers of the groups that have no layers here.
        outcomes: is told of their jobs.
    """

    @classmethod
    def of(cls, block_bytes: Sequence[int], outcomes: Outcomes) -> AbsentGroups:
        """Take the groups whose blocks have no bytes; see ``Tiers.block_bytes``."""
        absent = (group for group, nbytes in enumerate(block_bytes) if not nbytes)
        return cls(frozenset(absent), outcomes)

    def __init__(self, groups: frozenset[int], outcomes: Outcomes) -> None:
        self._groups = groups
        self._outcomes = outcomes

    def without(self, plan: Plan) -> Plan:
        """Return what is to be carried out of ``plan``, and end the rest."""
        if not self._groups:
            return plan
        return Plan(
            self._present(plan.loads, self._outcomes.end_load),
            self._present(plan.saves, self._outcomes.end_save),
            self._present(plan.puts, self._outcomes.end_put),
        )

    def _present(self, jobs: Sequence[Job], end: Callable[[Job], None]) -> tuple[Job, ...]:
        present = []
        for job in jobs:
            if group_of(job.key) in self._groups:
                end(job)
            else:
                present.append(job)
        return tuple(present)
