"""Follows vLLM's jobs, each of several rows, until every row of each has ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Condition
from typing import TYPE_CHECKING, NamedTuple

from vllm.v1.kv_offload.tiering.base import JobResult

if TYPE_CHECKING:
    from vllm.v1.kv_offload.base import OffloadKey
    from vllm.v1.kv_offload.tiering.base import TransferJob


class Row(NamedTuple):
    """A row of vLLM's host memory, which is ours until its job is told."""

    key: OffloadKey
    chunk: int
    """Its number."""


@dataclass(frozen=True)
class Job:
    """One of vLLM's jobs, and what has come of its rows."""

    number: int
    is_load: bool
    rows: list[Row]
    began_s: float = field(default_factory=time.monotonic)
    moved: list[OffloadKey] = field(default_factory=list)
    failed: list[OffloadKey] = field(default_factory=list)

    @classmethod
    def of(cls, job: TransferJob) -> Job:
        """Read ``job``, of which no row has ended."""
        rows = [Row(key, int(chunk)) for key, chunk in zip(job.keys, job.chunk_ids, strict=True)]
        return cls(job.job_id, job.is_promotion, rows)

    @property
    def has_ended(self) -> bool:
        """Whether all rows have moved or never will."""
        return len(self.moved) + len(self.failed) == len(self.rows)

    def result(self, row_bytes: int) -> JobResult:
        """Say what vLLM is told once the job has ended."""
        return JobResult(
            job_id=self.number,
            success=not self.failed,
            successful_keys=self.moved if self.is_load and self.failed else None,
            transfer_time=time.monotonic() - self.began_s,
            transfer_bytes=len(self.moved) * row_bytes,
        )


class Jobs:
    """All jobs that vLLM has not been told the end of; safe to call from several threads."""

    def __init__(self) -> None:
        self._running = 0
        self._ended: list[Job] = []
        self._change = Condition()

    def begin(self, job: TransferJob) -> Job:
        """Follow ``job`` from now on."""
        begun = Job.of(job)
        with self._change:
            self._running += 1
            self._note(begun)
        return begun

    def end(self, job: Job, row: Row, *, is_moved: bool) -> None:
        """Note that ``row`` of ``job`` has moved, or never will; called once for each."""
        with self._change:
            (job.moved if is_moved else job.failed).append(row.key)
            self._note(job)

    def take(self) -> list[Job]:
        """Return the jobs that have ended since the last call."""
        with self._change:
            ended, self._ended = self._ended, []
        return ended

    def wait(self) -> None:
        """Return once all jobs have ended."""
        with self._change:
            self._change.wait_for(lambda: not self._running)

    def _note(self, job: Job) -> None:
        if job.has_ended:
            self._running -= 1
            self._ended.append(job)
            self._change.notify_all()
