"""Lends channels to calls, and starts the client process anew where it has ended."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Lock, Semaphore
from typing import TYPE_CHECKING

from kvtransfer.errors import StoreError
from kvtransfer.stores.client_process.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvtransfer.stores.client_process.process import ClientProcess


class Channels:
    """At most ``most`` channels to one process; safe to use from several threads.

    Args:
        start: starts the process before a deadline of ``time.monotonic``; raises
            :class:`StoreError` where that would be in vain.
        most: calls under way at once.
    """

    def __init__(self, start: Callable[[float], ClientProcess], most: int) -> None:
        self._start = start
        self._free = Semaphore(most)
        self._lock = Lock()
        self._idle: list[Channel] = []
        self._most_bytes = 0
        """What any call has asked for; a channel that has it suits the next call as well."""
        self._process: ClientProcess | None = None

    @contextmanager
    def taken(self, nbytes: int, deadline_s: float) -> Iterator[Channel]:
        """Lend a channel with at least ``nbytes`` of memory for the body.

        Raises:
            StoreError: none is free by ``deadline_s``, or the client can't be started.
        """
        if not self._free.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
            raise StoreError("too many calls wait for an answer")
        try:
            channel = self._opened(nbytes, deadline_s)
            try:
                yield channel
            finally:
                self._give_back(channel)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close all channels and end the process; no other call may be running or follow."""
        for channel in self._idle:
            channel.close()
        if self._process is not None:
            self._process.close()

    def _opened(self, nbytes: int, deadline_s: float) -> Channel:
        if not self._lock.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
            raise StoreError("its client isn't started in time")
        try:
            process = self._running(deadline_s)
            channel = self._idle.pop() if self._idle else None
            self._most_bytes = max(self._most_bytes, nbytes)
        finally:
            self._lock.release()
        if channel is not None:
            if len(channel.memory) >= nbytes:
                return channel
            channel.close()
        return Channel(process, self._most_bytes)

    def _running(self, deadline_s: float) -> ClientProcess:
        """Return the process; the caller holds the lock."""
        if self._process is not None and not self._process.has_ended:
            return self._process
        while self._idle:
            self._idle.pop().close()
        if self._process is not None:
            self._process.close()
            self._process = None
        self._process = self._start(deadline_s)
        return self._process

    def _give_back(self, channel: Channel) -> None:
        with self._lock:
            if channel.is_usable and channel.process is self._process:
                self._idle.append(channel)
                return
        channel.close()
