"""Moves rows between vLLM's host memory and the store, on threads of its own."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.worker.priority_pool import PriorityPool
from kvtransfer.write_behind import WriteBehind

if TYPE_CHECKING:
    from concurrent.futures import Future

    from kvtransfer.connector.vllm.offloading.jobs import Job, Jobs, Row
    from kvtransfer.connector.vllm.offloading.row_names import RowNames
    from kvtransfer.connector.vllm.offloading.rows import Rows
    from kvtransfer.stores.interface import ChunkStore


class RowFetches:
    """Fills rows from ``store``, a few at once.

    Args:
        store: a guarded store; what it can't serve has not moved.
        rows: vLLM's.
        jobs: is told of each row that has ended.
        threads: how many rows are fetched at once, unless the store asks for more.
        start_within_s: a fetch that would begin later is given up.
    """

    def __init__(
        self, store: ChunkStore, rows: Rows, jobs: Jobs, threads: int, start_within_s: float
    ) -> None:
        self._store = store
        self._rows = rows
        self._jobs = jobs
        self._start_within_s = start_within_s
        self._pool: PriorityPool[bool] = PriorityPool(threads, "kvtransfer-fetch-row")

    def begin(self, job: Job, names: RowNames) -> None:
        """Fetch the rows of ``job``, the first one first."""
        spread = partial(self._spread, job, names, time.monotonic() + self._start_within_s)
        self._pool.submit(0, spread).add_done_callback(partial(self._end_unless_spread, job))

    def cancel(self) -> None:
        """End the fetches that have not begun."""
        self._pool.cancel()

    def close(self) -> None:
        """End the fetches that have not begun, and wait for the others."""
        self._pool.close()

    def _spread(self, job: Job, names: RowNames, start_by_s: float) -> bool:
        """Submit a fetch for each row; vLLM's scheduler has no time for thousands of them."""
        named = [(row, names(row.key)) for row in job.rows]
        for row, name in named:
            fetch = partial(self._fetch, name, row.chunk, start_by_s)
            self._pool.submit(1, fetch).add_done_callback(partial(self._end, job, row))
        return True

    def _end_unless_spread(self, job: Job, spread: Future[bool]) -> None:
        if spread.cancelled() or spread.exception() is not None:
            for row in job.rows:
                self._jobs.end(job, row, is_moved=False)

    def _fetch(self, name: str, chunk: int, start_by_s: float) -> bool:
        if time.monotonic() > start_by_s:
            return False
        with self._rows[chunk] as row:
            is_there = self._store.get_into(name, row)
        self._pool.widen(self._store.parallelism)
        return is_there

    def _end(self, job: Job, row: Row, fetched: Future[bool]) -> None:
        is_there = not fetched.cancelled() and fetched.exception() is None and fetched.result()
        self._jobs.end(job, row, is_moved=is_there)


class _Put(NamedTuple):
    job: Job
    row: Row
    name: str
    expected: list[str]
    """The names of all rows of the job, with its first."""


class RowPuts:
    """Puts rows into ``store`` in the order of their jobs, on one thread.

    Args:
        store: a guarded store.
        rows: vLLM's, which keeps them for us until their job is told.
        jobs: is told of each row that has ended.
        limit: rows that may wait.
    """

    def __init__(self, store: ChunkStore, rows: Rows, jobs: Jobs, limit: int) -> None:
        self._store = store
        self._rows = rows
        self._jobs = jobs
        self._limit = limit
        self._queue = self._opened()

    def begin(self, job: Job, names: RowNames) -> None:
        """Put the rows of ``job`` behind those that wait.

        Where there is no room for all, the last ones are dropped: without those before them they
        would be useless.
        """
        room = max(0, self._limit - len(self._queue))
        expected = [names(row.key) for row in job.rows[:room]]
        for row, name in zip(job.rows, expected, strict=False):
            self._queue.add(_Put(job, row, name, expected if name == expected[0] else []))
        for row in job.rows[room:]:
            self._jobs.end(job, row, is_moved=False)

    def cancel(self) -> None:
        """End the puts that have not begun, and wait for the one that has."""
        self._queue.close(0)
        self._queue = self._opened()

    def close(self, drain_s: float) -> None:
        """Put what waits for at most ``drain_s``, and drop the rest."""
        self._queue.close(drain_s)

    def _opened(self) -> WriteBehind[_Put]:
        return WriteBehind(self._put, self._drop, self._limit, "kvtransfer-put-row")

    def _put(self, put: _Put) -> None:
        if len(put.expected) > 1:
            self._store.expect_puts(put.expected)
        with self._rows[put.row.chunk] as payload:
            is_put = self._store.put(put.name, payload)
        self._jobs.end(put.job, put.row, is_moved=is_put)

    def _drop(self, put: _Put) -> None:
        self._jobs.end(put.job, put.row, is_moved=False)
