"""Runs the client of InfiniStore: ``python -m kvtransfer.client_programs.infinistore``.

Values travel over RDMA alone. The client's reads over TCP take its process down where a value isn't
there.
"""

from __future__ import annotations

import asyncio
import ctypes
import re
import socket
from typing import TYPE_CHECKING, Any

from kvtransfer.client_programs.serving import serve
from kvtransfer.client_programs.values import ValueChannel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import ModuleType

_HEAD_BYTES = 8
"""Bytes before each value that hold its length, since a read doesn't tell it."""
_ABSENT, _FAILED = -404, -500


class InfiniStoreClient:
    """Connects to the server that ``settings`` name, once for each channel.

    Raises:
        ImportError: the client isn't installed, or a library of the system is missing.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        import infinistore

        self._library = infinistore
        self._settings = settings

    def open_channel(self, address: int, nbytes: int) -> InfiniStoreChannel:
        """See :class:`kvtransfer.client_programs.serving.JoinedClient`."""
        return InfiniStoreChannel(self._library, self._settings, address, nbytes)

    def close(self) -> None:
        """See :class:`kvtransfer.client_programs.serving.JoinedClient`."""


class InfiniStoreChannel(ValueChannel):
    """See :class:`ValueChannel`; owns one connection.

    Raises:
        Exception: the server can't be reached; the client has no class of its own for that.
    """

    def __init__(
        self, library: ModuleType, settings: Mapping[str, Any], address: int, nbytes: int
    ) -> None:
        self._library = library
        self._address = address
        self._timeout_s = settings["timeout_s"]
        self._loop = asyncio.new_event_loop()
        self._connection = library.InfinityConnection(
            library.ClientConfig(
                host_addr=socket.gethostbyname(settings["host"]),
                service_port=settings["port"],
                connection_type=library.TYPE_RDMA,
                dev_name=settings["device"],
                ib_port=settings["ib_port"],
                link_type=settings["link"],
            )
        )
        self._connection.connect()
        self._connection.register_mr(address, nbytes)

    def exist(self, names: Sequence[str]) -> list[int]:
        """See :class:`ValueChannel`."""
        return [int(self._connection.check_exist(name)) for name in names]

    def lengths(self, names: Sequence[str], sizes: Sequence[int]) -> list[int]:
        """See :class:`ValueChannel`; the server tells none."""
        found = zip(self.exist(names), sizes, strict=True)
        return [size if is_there else _ABSENT for is_there, size in found]

    def read(self, names: Sequence[str], begins: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """See :class:`ValueChannel`."""
        for begin in begins:
            self._head(begin).value = 0  # else a value that has no length would have the last one's
        codes = self._moved(self._connection.rdma_read_cache_async, names, begins, sizes)
        return [
            code if code < 0 else self._length(begin, size)
            for code, begin, size in zip(codes, begins, sizes, strict=True)
        ]

    def write(self, names: Sequence[str], begins: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """See :class:`ValueChannel`."""
        for begin, size in zip(begins, sizes, strict=True):
            self._head(begin).value = size
        return self._moved(self._connection.rdma_write_cache_async, names, begins, sizes)

    def remove(self, names: Sequence[str]) -> list[int]:
        """See :class:`ValueChannel`."""
        self._connection.delete_keys(list(names))
        return [0] * len(names)

    def close(self) -> None:
        """See :class:`ValueChannel`."""
        self._connection.close()
        self._loop.close()

    def _head(self, begin: int) -> ctypes.c_uint64:
        return ctypes.c_uint64.from_address(self._address + begin - _HEAD_BYTES)

    def _length(self, begin: int, room_bytes: int) -> int:
        length = self._head(begin).value
        return length if 0 < length <= room_bytes else _ABSENT

    def _moved(
        self,
        move: Callable[[list[tuple[str, int]], int, int], Awaitable[object]],
        names: Sequence[str],
        begins: Sequence[int],
        sizes: Sequence[int],
    ) -> list[int]:
        """Move values at once; the server takes their length for one call, so each is a call."""

        async def moved_one(name: str, begin: int, size: int) -> int:
            block = (name, begin - _HEAD_BYTES)
            try:
                await move([block], size + _HEAD_BYTES, self._address)
            except self._library.InfiniStoreKeyNotFound:
                return _ABSENT
            except Exception as error:  # noqa: BLE001 - the client raises no other class
                return _code(error)
            return 0

        async def moved() -> list[int]:
            moves = map(moved_one, names, begins, sizes)
            return await asyncio.wait_for(asyncio.gather(*moves), self._timeout_s)

        return self._loop.run_until_complete(moved())


def _code(error: Exception) -> int:
    """Return the negative of the number with which the message of ``error`` ends."""
    told = re.search(r"ret = (-?\d+)$", str(error))
    return -abs(int(told[1])) if told else _FAILED


if __name__ == "__main__":
    serve(InfiniStoreClient)
