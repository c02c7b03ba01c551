"""Refuses jobs that were planned for what the model or an adapter no longer holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from kvtransfer.plan import Load, Put, Report, Save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Job = TypeVar("Job", Load, Save, Put)


class Refusals:
    """Refuses jobs and keeps what it refused until that is reported.

    A slot that a refused job would have filled still holds another chunk's bytes. The scheduler may
    plan jobs that read this slot before it learns of the refusal, so they are refused, too.
    """

    def __init__(self) -> None:
        self._report = Report()
        self._void_slots: set[int] = set()

    def accept(self, jobs: Iterable[Job], is_wrong: Callable[[int], bool]) -> tuple[Job, ...]:
        """Return the ``jobs`` that may be done, in order; ``is_wrong`` judges a job by its number."""
        accepted = []
        for job in jobs:
            fills = _fills(job)
            if is_wrong(job.job) or (not fills and job.slot in self._void_slots):
                self._refuse(job)
                if fills:
                    self._void_slots.add(job.slot)
                continue
            accepted.append(job)
            if fills:
                self._void_slots.discard(job.slot)
        return tuple(accepted)

    def take(self) -> Report:
        """Return what was refused since the last call, to add to the worker's report."""
        taken, self._report = self._report, Report()
        return taken

    def _refuse(self, job: Load | Save | Put) -> None:
        if isinstance(job, Load):
            self._report.loaded[job.job] = 1
        elif isinstance(job, Save):
            self._report.copied[job.job] = 1
        if isinstance(job, Put) or (isinstance(job, Save) and job.put):
            self._report.stored[job.job] = 1
        if not isinstance(job, Put):
            self._report.failed.add(job.job)


def _fills(job: Load | Save | Put) -> bool:
    """Say whether ``job`` brings the bytes of its chunk into its slot."""
    return job.fetch if isinstance(job, Load) else isinstance(job, Save)
