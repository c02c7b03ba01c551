"""Follows vLLM's jobs, each of several rows, until every row of each has ended."""

from __future__ import annotations

import time
from threading import Condition
from typing import TYPE_CHECKING

from vllm.v1.kv_offload.tiering.base import JobResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vllm.v1.kv_offload.tiering.base import TransferJob

Row = tuple[bytes, int]
"""Of a row vLLM's key, and its number."""


class Job:
    """One of vLLM's jobs; any thread may end its rows, each once."""

    def __init__(self, job: TransferJob, jobs: Jobs, row_bytes: int) -> None:
        self.rows: list[Row] = [
            (bytes(key), int(chunk)) for key, chunk in zip(job.keys, job.chunk_ids, strict=True)
        ]
        self.is_load: bool = job.is_promotion
        self._id = job.job_id
        self._jobs = jobs
        self._row_bytes = row_bytes
        self._began_s = time.monotonic()
        self._moved: list[bytes] = []
        self._failed: list[bytes] = []

    @property
    def failed(self) -> list[bytes]:
        """The keys of the rows that have not moved, once the job has ended."""
        return self._failed

    def end(self, row: Row, *, is_moved: bool) -> None:
        """The row has moved, or never will; the last one ends the job."""
        self._jobs.end_row(self, row[0], is_moved=is_moved)

    def note(self, key: bytes, *, is_moved: bool) -> bool:
        """Count a row; whether it was the last. For ``Jobs``, which holds its lock."""
        (self._moved if is_moved else self._failed).append(key)
        return len(self._moved) + len(self._failed) == len(self.rows)

    def result(self) -> JobResult:
        """What vLLM is told once all rows have ended."""
        return JobResult(
            job_id=self._id,
            success=not self._failed,
            successful_keys=self._moved if self.is_load and self._failed else None,
            transfer_time=time.monotonic() - self._began_s,
            transfer_bytes=len(self._moved) * self._row_bytes,
        )


class Jobs:
    """All jobs that vLLM has not been told the end of; rows have ``row_bytes`` each."""

    def __init__(self, row_bytes: int) -> None:
        self._row_bytes = row_bytes
        self._running = 0
        self._ended: list[Job] = []
        self._change = Condition()

    def begin(self, job: TransferJob) -> Job:
        """Follow ``job``; one without rows has ended."""
        begun = Job(job, self, self._row_bytes)
        with self._change:
            if begun.rows:
                self._running += 1
            else:
                self._ended.append(begun)
        return begun

    def end_row(self, job: Job, key: bytes, *, is_moved: bool) -> None:
        """See :meth:`Job.end`."""
        with self._change:
            if job.note(key, is_moved=is_moved):
                self._running -= 1
                self._ended.append(job)
                self._change.notify_all()

    def take(self) -> Iterator[Job]:
        """Yield the jobs that have ended since the last call."""
        with self._change:
            ended, self._ended = self._ended, []
        yield from ended

    def wait(self) -> None:
        """Return once all jobs have ended."""
        with self._change:
            self._change.wait_for(lambda: not self._running)
