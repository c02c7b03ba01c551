"""Time as far as this process was given any, so that a busy machine makes no call late."""

from __future__ import annotations

from threading import Event, Thread

_TICK_S = 0.005


class OwnClock:
    """Counts short waits of a thread: it stands still while the process waits for a processor.

    What blocks for too long is late by it as by any clock; what other processes hold up is not.
    """

    def __init__(self) -> None:
        self._ticks = 0
        self._closed = Event()
        self._thread = Thread(target=self._run, name="own-clock", daemon=True)
        self._thread.start()

    @property
    def now_s(self) -> float:
        return self._ticks * _TICK_S

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(_TICK_S):
            self._ticks += 1
