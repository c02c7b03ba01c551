"""Gives a caller a handle for chunks that are on their way."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# How long one look for reports waits.
_POLL_S = 0.05


class Transfer:
    """Tells when chunks that are on their way have arrived.

    Only the thread that calls the :class:`KVTransfer` it came from may call it.
    """

    def __init__(self, take_reports: Callable[[float], None], jobs: dict[int, int]) -> None:
        self.ended: dict[int, bool] = {}
        """Whether each job that has ended succeeded, by its number; only :class:`KVTransfer` writes it."""
        self._take_reports = take_reports
        self._jobs = jobs

    def done(self) -> bool:
        """Say whether all chunks have arrived or failed; returns at once."""
        self._take_reports(0.0)
        return len(self.ended) == len(self._jobs)

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until all chunks have arrived or failed; then their blocks are the caller's again.

        Args:
            timeout_s: seconds to wait at most; None: no limit but the timeouts of the store.

        Returns:
            How many tokens have arrived, counted from the transfer's first up to the first failure.

        Raises:
            TimeoutError: chunks were still on their way after ``timeout_s``; asking again is fine.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.done():
            if deadline_s is not None and time.monotonic() > deadline_s:
                raise TimeoutError(f"transfer not done after {timeout_s} s")
            self._take_reports(_POLL_S)
        arrived = itertools.takewhile(lambda job: self.ended[job], self._jobs)
        return sum(self._jobs[job] for job in arrived)
