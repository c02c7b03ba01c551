"""The handle that a caller gets for chunks on their way."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# How long one look for reports waits.
_POLL_S = 0.05


class Transfer:
    """Chunks on their way; only the thread of their :class:`KVTransfer` may call it."""

    def __init__(self, take_reports: Callable[[float], None], jobs: dict[int, int]) -> None:
        self.ended: dict[int, bool] = {}
        """Whether each job that has ended succeeded; only :class:`KVTransfer` writes it."""
        self._take_reports = take_reports
        self._jobs = jobs

    def done(self) -> bool:
        """Whether all of it has ended, successfully or not; returns at once."""
        self._take_reports(0.0)
        return len(self.ended) == len(self._jobs)

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for the end; blocks of a load are the caller's again, of a save may be written.

        Args:
            timeout_s: seconds to wait; None: until the end, which a store's timeouts bound.

        Returns:
            How many tokens of the transfer, from its first on, have arrived.

        Raises:
            TimeoutError: it has not ended after ``timeout_s``.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.done():
            if deadline_s is not None and time.monotonic() > deadline_s:
                raise TimeoutError(f"transfer not done after {timeout_s} s")
            self._take_reports(_POLL_S)
        arrived = itertools.takewhile(lambda job: self.ended[job], self._jobs)
        return sum(self._jobs[job] for job in arrived)
