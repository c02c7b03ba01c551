"""Reads values over several connections at once, and measures what other processes spend on it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.measure import Row


class Reader(Protocol):
    """What reads a value into memory."""

    def get(self, key: str, target: memoryview) -> object: ...


class Streams:
    """Reads over several connections at once, as many values over each, into memory of its own.

    Args:
        readers: one for each connection.
        targets: the memory of each connection.
        keys: the values that each connection reads.
    """

    def __init__(
        self, readers: Sequence[Reader], targets: Sequence[memoryview], keys: Sequence[str]
    ) -> None:
        self._readers = readers
        self._targets = targets
        self._keys = keys
        self._threads = ThreadPoolExecutor(len(readers))

    def read(self) -> None:
        """Read every value over every connection."""
        list(self._threads.map(self._read, self._readers, self._targets))

    def close(self) -> None:
        self._threads.shutdown()

    def _read(self, reader: Reader, target: memoryview) -> None:
        for key in self._keys:
            reader.get(key, target)


class Spent:
    """``work``, and the CPU seconds that ``pids`` spend on it."""

    def __init__(self, work: Callable[[], object], pids: Sequence[int]) -> None:
        self._work = work
        self._processes = [psutil.Process(pid) for pid in pids]
        self._spent_s: list[float] = []

    def __call__(self) -> None:
        before_s = self._cpu_s()
        self._work()
        self._spent_s.append(self._cpu_s() - before_s)

    def row(self, row: Row) -> Row:
        """``row``, with what the other processes spent; the first time warmed up."""
        # Clocks of other processes tick every 10 ms, so only the sum means something.
        server_s_per_gb = sum(self._spent_s[1:]) / (row.n * row.bytes) * 1e9
        return replace(row, more={"server s/GB": server_s_per_gb})

    def _cpu_s(self) -> float:
        times = [process.cpu_times() for process in self._processes]
        return sum(each.user + each.system for each in times)
