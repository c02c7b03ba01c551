"""Limits the memory of a client process, so that what a server makes it take ends it alone."""

from __future__ import annotations

import resource
from threading import Lock

_FOR_EACH_CHANNEL_BYTES = 64 << 20
"""What a call needs beside copies of what it moves, its thread among that."""
_COPIES = 2


class MemoryLimit:
    """Lets this process have ``nbytes`` of its own memory, and more for each open channel.

    What it shares with the process that started it doesn't count. An allocation beyond the limit
    fails, as on a machine that has no more. The process leaves no core file, which would hold what
    its memory held. Safe to use from several threads.
    """

    def __init__(self, nbytes: int) -> None:
        self._lock = Lock()
        self._nbytes = 0
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, most))
        self._add(nbytes)

    def open_channel(self, nbytes: int) -> None:
        """Make room for a channel with ``nbytes`` of shared memory."""
        self._add(_COPIES * nbytes + _FOR_EACH_CHANNEL_BYTES)

    def close_channel(self, nbytes: int) -> None:
        """Take back the room of such a channel."""
        self._add(-_COPIES * nbytes - _FOR_EACH_CHANNEL_BYTES)

    def _add(self, nbytes: int) -> None:
        with self._lock:
            self._nbytes += nbytes
            _, most = resource.getrlimit(resource.RLIMIT_DATA)
            limit = self._nbytes if most == resource.RLIM_INFINITY else min(self._nbytes, most)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
