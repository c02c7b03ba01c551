"""Moves rows between vLLM's host memory and the store, on threads of its own."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.worker.priority_pool import PriorityPool
from kvtransfer.write_behind import WriteBehind

if TYPE_CHECKING:
    from concurrent.futures import Future

    from kvtransfer.connector.vllm.offloading.jobs import Job, Row
    from kvtransfer.connector.vllm.offloading.row_names import RowNames
    from kvtransfer.connector.vllm.offloading.rows import Rows
    from kvtransfer.stores.interface import ChunkStore


class RowFetches:
    """Fills rows from ``store``, a few at once; each is vLLM's again when its job is told.

    Args:
        store: a guarded store; what it can't serve is a row that has not moved.
        rows: vLLM's.
        threads: how many rows are fetched at once, unless the store asks for more.
        start_within_s: a fetch that begins later is given up.
    """

    def __init__(self, store: ChunkStore, rows: Rows, threads: int, start_within_s: float) -> None:
        self._store = store
        self._rows = rows
        self._start_within_s = start_within_s
        self._pool: PriorityPool[bool] = PriorityPool(threads, "kvtransfer-fetch-row")

    def begin(self, job: Job, names: RowNames) -> None:
        """Fetch the rows of ``job``, the first one first."""
        start_by_s = time.monotonic() + self._start_within_s
        for row in job.rows:
            fetch = partial(self._fetch, names(row[0]), row[1], start_by_s)
            self._pool.submit(0, fetch).add_done_callback(partial(_end, job, row))

    def cancel(self) -> None:
        """End the fetches that have not begun."""
        self._pool.cancel()

    def close(self) -> None:
        """End the fetches that have not begun, and wait for the others."""
        self._pool.close()

    def _fetch(self, name: str, chunk: int, start_by_s: float) -> bool:
        if time.monotonic() > start_by_s:
            return False
        with self._rows[chunk] as row:
            is_there = self._store.get_into(name, row)
        self._pool.widen(self._store.parallelism)
        return is_there


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
        rows: vLLM's, which it keeps for us until their job is told.
        limit: rows that may wait; what follows them is useless without them, and is dropped.
    """

    def __init__(self, store: ChunkStore, rows: Rows, limit: int) -> None:
        self._store = store
        self._rows = rows
        self._limit = limit
        self._queue = self._opened()

    def begin(self, job: Job, names: RowNames) -> None:
        """Put the rows of ``job`` behind those that wait, the first ones where not all have room."""
        room = self._limit - len(self._queue)
        expected = [names(row[0]) for row in job.rows[: max(0, room)]]
        for row, name in zip(job.rows, expected, strict=False):
            self._queue.add(_Put(job, row, name, expected if name == expected[0] else []))
        for row in job.rows[len(expected) :]:
            job.end(row, is_moved=False)

    def cancel(self) -> None:
        """End the puts that have not begun, and wait for the other."""
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
        with self._rows[put.row[1]] as payload:
            is_put = self._store.put(put.name, payload)
        put.job.end(put.row, is_moved=is_put)

    def _drop(self, put: _Put) -> None:
        put.job.end(put.row, is_moved=False)


def _end(job: Job, row: Row, fetched: Future[bool]) -> None:
    is_there = not fetched.cancelled() and fetched.exception() is None and fetched.result()
    job.end(row, is_moved=is_there)
