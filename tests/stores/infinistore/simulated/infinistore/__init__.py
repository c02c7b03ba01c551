"""Stands for InfiniStore's client, which connects only where there is RDMA.

The names, signatures and errors are those of its release 0.2.35. It asks the server of
``tests/stores/infinistore/simulated_server.py``. What that server would do over RDMA is done here:
reading the memory that the client has registered, and writing into it.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct

TYPE_RDMA = "RDMA"
TYPE_TCP = "TCP"
LINK_ETHERNET = "Ethernet"
LINK_IB = "IB"

_REQUEST = struct.Struct("!cHQ")
_ANSWER = struct.Struct("!iQ")
_FINISH, _KEY_NOT_FOUND = 200, 404


class InfiniStoreException(Exception):
    pass


class InfiniStoreKeyNotFound(InfiniStoreException):
    pass


class ClientConfig:
    def __init__(self, **kwargs):
        self.connection_type = kwargs.get("connection_type")
        self.host_addr = kwargs.get("host_addr")
        self.dev_name = kwargs.get("dev_name", "mlx5_1")
        self.ib_port = kwargs.get("ib_port", 1)
        self.link_type = kwargs.get("link_type", "IB")
        self.service_port = kwargs.get("service_port")

    def verify(self):
        if self.connection_type not in [TYPE_RDMA, TYPE_TCP]:
            raise Exception("Invalid connection type")


class InfinityConnection:
    def __init__(self, config: ClientConfig):
        config.verify()
        self.config = config
        self.rdma_connected = False
        self._regions = {}

    def connect(self):
        socket.inet_aton(self.config.host_addr)  # the release resolves no names
        try:
            address = (self.config.host_addr, self.config.service_port)
            self._socket = socket.create_connection(address)
        except OSError:
            raise Exception("Failed to initialize remote connection") from None
        self._stream = self._socket.makefile("rb")
        self.rdma_connected = True

    def close(self):
        self._stream.close()
        self._socket.close()

    def register_mr(self, arg: int, size: int | None = None):
        self._require_rdma()
        self._regions[arg] = size
        return 0

    async def rdma_write_cache_async(
        self, blocks: list[tuple[str, int]], block_size: int, ptr: int
    ):
        self._require_region(blocks, block_size, ptr)
        await asyncio.sleep(0)
        for key, offset in blocks:
            code, _ = self._ask(b"W", key, ctypes.string_at(ptr + offset, block_size))
            if code != _FINISH:
                raise Exception(f"Failed to write to infinistore, ret = {code}")
        return _FINISH

    async def rdma_read_cache_async(self, blocks: list[tuple[str, int]], block_size: int, ptr: int):
        self._require_region(blocks, block_size, ptr)
        await asyncio.sleep(0)
        for key, offset in blocks:
            code, value = self._ask(b"R", key, size=block_size)
            if code == _KEY_NOT_FOUND:
                raise InfiniStoreKeyNotFound("some keys not found")
            if code != _FINISH:
                raise Exception(f"Failed to read to infinistore, ret = {code}")
            ctypes.memmove(ptr + offset, value, len(value))
        return _FINISH

    def check_exist(self, key: str):
        code, _ = self._ask(b"E", key)
        return code == _FINISH

    def delete_keys(self, keys: list[str]):
        return sum(self._ask(b"D", key)[0] == _FINISH for key in keys)

    def _require_rdma(self):
        if not self.rdma_connected:
            raise Exception("this function is only valid for connected rdma")

    def _require_region(self, blocks, block_size, ptr):
        self._require_rdma()
        nbytes = self._regions[ptr]  # the base of a region, as in the release
        assert all(0 <= offset <= nbytes - block_size for _, offset in blocks)

    def _ask(self, operation, key, value=b"", size=None):
        name = key.encode()
        head = _REQUEST.pack(operation, len(name), len(value) if size is None else size)
        try:
            self._socket.sendall(head + name + value)
            code, nbytes = _ANSWER.unpack(self._received(_ANSWER.size))
            return code, self._received(nbytes)
        except OSError:
            raise Exception("Failed to receive return code") from None

    def _received(self, nbytes):
        received = self._stream.read(nbytes)
        if len(received) < nbytes:
            raise ConnectionResetError
        return received
