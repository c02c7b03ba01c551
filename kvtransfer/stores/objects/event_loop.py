"""Runs requests on a thread of its own, for threads that wait no longer than until a deadline."""

from __future__ import annotations

import asyncio
import time
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from kvtransfer.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future
    from typing import Any

T = TypeVar("T")


class EventLoop:
    """An event loop and its thread; ``late`` is what the error for a late request says.

    A request that is late is given up: it holds no memory of its caller and changes none.
    Safe to use from several threads.
    """

    def __init__(self, late: str) -> None:
        self._late = late
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="object-requests", daemon=True)
        self._thread.start()

    def begin(self, request: Coroutine[Any, Any, T]) -> Future[T]:
        """Run ``request`` beside the caller; cancelling the result gives it up."""
        return asyncio.run_coroutine_threadsafe(request, self._loop)

    def awaited(self, request: Future[T], deadline_s: float) -> T:
        """Return what ``request`` returns before ``deadline_s`` of ``time.monotonic``.

        Raises:
            StoreError: it isn't done by then, and is given up; or what it raises.
        """
        try:
            return request.result(max(0.0, deadline_s - time.monotonic()))
        except TimeoutError:
            request.cancel()
            raise StoreError(self._late) from None

    def run(self, request: Coroutine[Any, Any, T], deadline_s: float) -> T:
        """Run ``request`` while the caller waits, as ``awaited`` does."""
        return self.awaited(self.begin(request), deadline_s)

    def close(self) -> None:
        """Give up all requests and end the thread."""
        asyncio.run_coroutine_threadsafe(_give_up_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _give_up_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
