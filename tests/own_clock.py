"""Time that passes for this process alone, so that a busy machine makes no call late."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")


class OwnClock:
    """Runs from when it is made, without what threads of ours were kept waiting for a processor.

    What blocks for too long is late by it as by any clock; what other processes hold up is not.
    Where the system doesn't tell who had to wait, it is a clock like any other.
    """

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._waited_ns = _waited_ns()

    @property
    def passed_s(self) -> float:
        passed_s = time.monotonic() - self._began_s
        now_ns = _waited_ns()
        before_ns = self._waited_ns
        return passed_s - sum(now_ns[task] - before_ns.get(task, 0) for task in now_ns) / 1e9


def _waited_ns() -> dict[str, int]:
    """How long each thread has waited, ready to run."""
    waited_ns = {}
    for task in _TASKS.iterdir() if _TASKS.is_dir() else ():
        with suppress(OSError, IndexError):  # it may have ended, or the kernel keeps no account
            waited_ns[task.name] = int((task / "schedstat").read_text().split()[1])
    return waited_ns
