"""Runs one repetition of ``bench_redis``, and measures what the server spent on it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psutil

    from benchmarks.measure import Row
    from benchmarks.ping import Pings
    from benchmarks.redis_clients import Client


class Watched:
    """``work``, and when it ran and what CPU seconds ``server`` had used before and after."""

    def __init__(self, work: Callable[[], object], server: psutil.Process) -> None:
        self._work = work
        self._server = server
        self._spans_s: list[tuple[float, float]] = []
        self._server_cpu_s: list[float] = []

    def __call__(self) -> None:
        before_s, began_s = _cpu_s(self._server), time.monotonic()
        self._work()
        self._spans_s.append((began_s, time.monotonic()))
        self._server_cpu_s.append(_cpu_s(self._server) - before_s)

    def row(self, row: Row, pings: Pings) -> Row:
        """``row``, which is of this work, with the server's side; the first time warmed up."""
        # Clocks of other processes tick every 10 ms, so only the sum means something.
        server_s_per_gb = sum(self._server_cpu_s[1:]) / (row.n * row.bytes) * 1e9
        ping_ms = 1e3 * pings.p99_s(self._spans_s[1:])
        return replace(row, more={"server s/GB": server_s_per_gb, "PING p99 ms": ping_ms})


@dataclass(frozen=True)
class Values:
    """As many values as a repetition moves, and the memory they come from and go to."""

    keys: Sequence[str]
    payload: bytes
    target: memoryview

    def get(self, client: Client) -> None:
        """Get each value once."""
        for key in self.keys:
            client.get(key, self.target)

    def put(self, client: Client, forget: Callable[[], object]) -> None:
        """Put each value once, after ``forget``: the store would not put an existing one again."""
        forget()
        for key in self.keys:
            client.put(key, self.payload)


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)
