"""Notes when timed loads were fetched and copied, until they are reported."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

from kvtransfer.plan import LoadTimes, Took

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.plan import Load


class LoadClock:
    """Any thread may call; a load that isn't timed leaves nothing here.

    ``clock`` returns seconds since the epoch, which other machines share.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = Lock()
        self._copies: dict[int, Took] = {}
        """Copies under way, by job; their end is not known yet."""
        self._times: dict[int, LoadTimes] = {}

    def end_fetch(self, load: Load, seconds: float, nbytes: int) -> None:
        """A fetch of ``seconds`` has brought ``nbytes`` into the slot of ``load``."""
        if load.is_timed:
            now_s = self._clock()
            self._add(load.job, LoadTimes(fetch=Took(now_s - seconds, now_s, nbytes)))

    def begin_copy(self, job: int, nbytes: int) -> None:
        """A timed load begins to fill blocks of ``nbytes``."""
        now_s = self._clock()
        with self._lock:
            self._copies[job] = Took(now_s, now_s, nbytes)

    def end_copy(self, job: int) -> None:
        """The blocks are filled, or the copy has failed; again is harmless."""
        with self._lock:
            began = self._copies.pop(job, None)
        if began is not None:
            self._add(job, LoadTimes(copy=began._replace(ended_s=self._clock())))

    def take(self, job: int) -> LoadTimes:
        """What was noted of ``job``, which has ended."""
        self.end_copy(job)  # its own thread may not have said so yet
        with self._lock:
            return self._times.pop(job, LoadTimes())

    def _add(self, job: int, times: LoadTimes) -> None:
        with self._lock:
            self._times[job] = self._times.get(job, LoadTimes()).add(times)
