"""Takes the calls of one channel, and ends each in time."""

from __future__ import annotations

import asyncio
import ctypes
import time
from typing import TYPE_CHECKING, Any

from kvtransfer.client_programs.objects.calls import BucketCalls
from kvtransfer.client_programs.objects.causes import BucketError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from kvtransfer.client_programs.memory_limit import MemoryLimit
    from kvtransfer.client_programs.objects.bucket import Bucket


class ObjectChannel:
    """See :class:`kvtransfer.client_programs.serving.ChannelClient`; ``nbytes`` lie at ``address``.

    An answer is ``{"value": ...}``; or ``{"error": ...}``, a sentence that holds no secret; or
    ``{"late": true}``.
    """

    def __init__(self, bucket: Bucket, limit: MemoryLimit, address: int, nbytes: int) -> None:
        self._limit = limit
        self._nbytes = nbytes
        limit.open_channel(nbytes)
        memory = memoryview((ctypes.c_char * nbytes).from_address(address)).cast("B")
        self._calls = BucketCalls(bucket, memory)
        self._runner = asyncio.Runner()

    def answer(self, request: Mapping[str, Any]) -> dict[str, object]:
        """See :class:`kvtransfer.client_programs.serving.ChannelClient`.

        The call has until ``deadline_s`` of ``time.monotonic``, which all processes share.
        """
        call = self._calls.begin(request["call"], request["arguments"])
        try:
            return {"value": self._runner.run(_until(request["deadline_s"], call))}
        except BucketError as error:
            return {"error": str(error)}
        except TimeoutError:
            return {"late": True}

    def close(self) -> None:
        """See :class:`kvtransfer.client_programs.serving.ChannelClient`."""
        self._runner.close()
        self._limit.close_channel(self._nbytes)


async def _until(deadline_s: float, call: Coroutine[Any, Any, object]) -> object:
    async with asyncio.timeout(deadline_s - time.monotonic()):
        return await call
