"""Joins one bucket, and opens channels to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvtransfer.client_programs.memory_limit import MemoryLimit
from kvtransfer.client_programs.objects.bucket import Bucket
from kvtransfer.client_programs.objects.channel import ObjectChannel
from kvtransfer.client_programs.objects.client import open_client

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMORY_BYTES = 1 << 30
"""What the program has of its own: as it starts, less than a tenth."""


class ObjectClient:
    """Knows the bucket that ``settings`` name, and connects when it is first asked.

    Raises:
        OSError: no client can be made of the settings and the environment.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._limit = MemoryLimit(MEMORY_BYTES)
        self._bucket = Bucket(open_client(settings))

    def open_channel(self, address: int, nbytes: int) -> ObjectChannel:
        """See :class:`kvtransfer.client_programs.serving.JoinedClient`."""
        return ObjectChannel(self._bucket, self._limit, address, nbytes)

    def close(self) -> None:
        """See :class:`kvtransfer.client_programs.serving.JoinedClient`."""
