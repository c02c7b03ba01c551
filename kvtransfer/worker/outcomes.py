"""Collects the jobs that have ended, from all threads, until they are reported."""

from __future__ import annotations

import logging
from functools import partial
from threading import Condition
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import group_of
from kvtransfer.plan import Load, Report
from kvtransfer.worker.load_clock import LoadClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.device import Event
    from kvtransfer.metrics import Metrics
    from kvtransfer.plan import Put, Save

_LOG = logging.getLogger("kvtransfer")


class Outcomes:
    """The next report, and the copies that are under way; any thread may call.

    Whatever ends a job wakes the thread in ``wait``. An event keeps this object alive only until it
    is done, and this object keeps an event only until its copy is collected.

    Args:
        metrics: counts the bytes that were copied and the loads that failed.
        block_bytes: bytes of one of the manager's blocks in all layers of each group together.
    """

    def __init__(self, metrics: Metrics, block_bytes: Sequence[int]) -> None:
        self._metrics = metrics
        self._block_bytes = block_bytes
        self._condition = Condition()  # its lock is reentrant
        self.clock = LoadClock()
        """Notes what timed loads take."""
        self._copies: list[tuple[Load | Save, Event]] = []
        self._ended = Report()

    def add_copy(self, job: Load | Save, event: Event) -> None:
        """Report ``job`` once ``event``, which ends its copy, is done."""
        is_timed = isinstance(job, Load) and job.is_timed
        if is_timed:
            self.clock.begin_copy(job.job, self._nbytes(job))
        with self._condition:
            self._copies.append((job, event))
        if is_timed:
            event.on_done(partial(self.clock.end_copy, job.job))
        event.on_done(self._wake)

    def end_load(self, load: Load) -> None:
        """Report that ``load`` has brought its chunk."""
        with self._condition:
            self._ended.loaded[load.job] = 1
            if load.is_timed:
                self._ended.times[load.job] = self.clock.take(load.job)
            self._condition.notify_all()

    def fail_load(self, load: Load, error: BaseException | None = None) -> None:
        """Report that ``load`` has not brought its chunk; an ``error`` is logged, a miss is not."""
        self._metrics.add("load_failed_chunks")
        with self._condition:
            self._fail(load, error)
            self.end_load(load)

    def end_save(self, save: Save) -> None:
        """Report that there was nothing to copy for ``save``, and nothing to put."""
        with self._condition:
            self._ended.copied[save.job] = 1
            if save.put:
                self._ended.stored[save.job] = 1
            self._condition.notify_all()

    def end_put(self, job: Save | Put) -> None:
        """Report that ``job`` no longer needs its slot: its chunk was put."""
        with self._condition:
            self._ended.stored[job.job] = 1
            self._condition.notify_all()

    def fail_put(self, job: Save | Put) -> None:
        """Report that ``job`` no longer needs its slot, of which not everything was put."""
        with self._condition:
            self._ended.unput.add(job.job)
            self.end_put(job)

    def lack(self, tier: str, key: str) -> None:
        """Report that ``tier`` does not hold a shard of ``key``, or no longer does."""
        with self._condition:
            self._ended.absent.add((tier, key))

    def take(self) -> Report:
        """Return what has ended since the last call."""
        with self._condition:
            self._collect()
            ended, self._ended = self._ended, Report()
        return ended

    def wait(self, timeout_s: float) -> None:
        """Sleep until ``take`` would return something, at most for ``timeout_s``."""
        with self._condition:
            self._condition.wait_for(self._has_ended, timeout_s)

    def finish_saves(self) -> None:
        """Wait until every copy out of blocks has ended."""
        with self._condition:
            events = [event for job, event in self._copies if not isinstance(job, Load)]
        for event in events:
            event.wait()

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _has_ended(self) -> bool:
        self._collect()
        return bool(self._ended)

    def _collect(self) -> None:
        """Move copies that are done into the next report; the caller holds the lock."""
        copies, self._copies = self._copies, []
        for job, event in copies:
            if not event.is_done:
                self._copies.append((job, event))
            elif isinstance(job, Load):
                self._end_copy_in(job, event.error)
            else:
                self._end_copy_out(job, event.error)

    def _end_copy_in(self, load: Load, error: BaseException | None) -> None:
        if error is not None:
            self.fail_load(load, error)
            return
        self._metrics.add("to_device_bytes", self._nbytes(load))
        self.end_load(load)

    def _end_copy_out(self, save: Save, error: BaseException | None) -> None:
        self._ended.copied[save.job] = 1
        if error is not None:
            self._fail(save, error)
            return
        self._metrics.add("to_host_bytes", self._nbytes(save))

    def _fail(self, job: Load | Save, error: BaseException | None) -> None:
        self._ended.failed.add(job.job)
        if error is not None:
            _LOG.error("a copy failed, its chunk is a miss: %r", error)

    def _nbytes(self, job: Load | Save) -> int:
        return len(job.block_ids) * self._block_bytes[group_of(job.key)]
