"""Runs coroutines on a thread of its own, for threads that wait no longer than until a deadline."""

from __future__ import annotations

import asyncio
import time
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from kvtransfer.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

T = TypeVar("T")


class EventLoop:
    """An event loop and its thread; ``late`` is what the error for a late call says.

    Safe to use from several threads.
    """

    def __init__(self, late: str) -> None:
        self._late = late
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="object-store", daemon=True)
        self._thread.start()

    def run(self, call: Coroutine[Any, Any, T], deadline_s: float) -> T:
        """Return what ``call`` returns before ``deadline_s`` of ``time.monotonic``.

        Once this has returned or raised, nothing of the call is under way any more.

        Raises:
            StoreError: it isn't done by then, and is cancelled; or what it raises.
        """
        running = asyncio.run_coroutine_threadsafe(_until(deadline_s, call), self._loop)
        try:
            return running.result()
        except TimeoutError:
            raise StoreError(self._late) from None

    def close(self) -> None:
        """End the thread; no call may be under way or follow."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _until(deadline_s: float, call: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(deadline_s - time.monotonic()):
        return await call
