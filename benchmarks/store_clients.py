"""Moves values to and from each store as its own client does it best, without records or checks.

A round's values are put, got and removed together, so that a client with calls for many at once can
use them.
"""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, urlsplit

import numpy as np
import redis

from kvtransfer.stores.nixl.agent import posix_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LEASE_S = 20.0
CALLERS = 4
"""Threads that call at once, where a client has no call for many values; ours too."""


class Client(Protocol):
    """Keeps values by name; ``memory`` and ``targets`` begin on a sector and stay where they are."""

    def put(self, names: Sequence[str], memory: Sequence[memoryview]) -> object: ...

    def get(self, names: Sequence[str], targets: Sequence[memoryview]) -> object: ...

    def remove(self, names: Sequence[str]) -> object: ...

    def close(self) -> object: ...


class EachCalled:
    """A client that is called for each value, on ``CALLERS`` threads."""

    def __init__(
        self, put: Callable[..., object], get: Callable[..., object], remove: Callable[..., object]
    ) -> None:
        self._calls = put, get, remove
        self._threads = ThreadPoolExecutor(CALLERS)

    def put(self, names: Sequence[str], memory: Sequence[memoryview]) -> object:
        return list(self._threads.map(self._calls[0], names, memory))

    def get(self, names: Sequence[str], targets: Sequence[memoryview]) -> object:
        return list(self._threads.map(self._calls[1], names, targets))

    def remove(self, names: Sequence[str]) -> object:
        return list(self._threads.map(self._calls[2], names))

    def close(self) -> None:
        self._threads.shutdown()


def redis_client(url: str) -> Client:
    """redis-py with hiredis; a value arrives in bytes of its own and is copied, as ours is."""
    server = redis.Redis.from_url(url)

    def get(name: str, target: memoryview) -> None:
        target[:] = server.get(name)

    return EachCalled(server.set, get, server.unlink)


def file_client(url: str) -> Client:
    """One system call a file, past the page cache where the file system allows that."""
    folder = _folder_of(url)

    def put(name: str, memory: memoryview) -> None:
        with closing(_Opened(folder / name, os.O_CREAT | os.O_WRONLY)) as file:
            assert os.pwritev(file.fd, [memory], 0) == len(memory)

    def get(name: str, target: memoryview) -> None:
        with closing(_Opened(folder / name, os.O_RDONLY)) as file:
            assert os.preadv(file.fd, [target], 0) == len(target)

    return EachCalled(put, get, lambda name: (folder / name).unlink())


def object_client(url: str) -> Client:
    """obstore, of which ours is made; a value arrives in bytes of its own and is copied."""
    from obstore.store import S3Store

    read = urlsplit(url)
    endpoint = parse_qs(read.query)["endpoint"][0]
    bucket = S3Store(
        read.hostname,
        endpoint=endpoint,
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )

    def get(name: str, target: memoryview) -> None:
        target[:] = bucket.get_range(name, start=0, length=len(target))

    return EachCalled(bucket.put, get, bucket.delete)


class MooncakeClient:
    """One call of Mooncake's client for all values, from and to memory that is registered once."""

    def __init__(self, url: str) -> None:
        from mooncake.store import MooncakeDistributedStore

        self._store = MooncakeDistributedStore()
        address = urlsplit(url).netloc
        code = self._store.setup("127.0.0.1", "P2PHANDSHAKE", 0, 64 << 20, "tcp", "", address)
        assert code == 0, code
        self._registered: set[int] = set()

    def put(self, names: Sequence[str], memory: Sequence[memoryview]) -> None:
        codes = self._store.batch_put_from(names, *self._places(memory))
        assert not any(codes), codes

    def get(self, names: Sequence[str], targets: Sequence[memoryview]) -> None:
        lengths = self._store.batch_get_into(names, *self._places(targets))
        assert lengths == [len(target) for target in targets], lengths

    def remove(self, names: Sequence[str]) -> None:
        for name in names:
            deadline_s = time.monotonic() + _LEASE_S
            while self._store.remove(name) and time.monotonic() < deadline_s:
                time.sleep(0.01)  # somebody still holds a lease

    def close(self) -> None:
        self._store.close()

    def _places(self, memory: Sequence[memoryview]) -> tuple[list[int], list[int]]:
        addresses = [np.frombuffer(each, np.uint8).ctypes.data for each in memory]
        for address, each in zip(addresses, memory, strict=True):
            if address not in self._registered:
                assert self._store.register_buffer(address, len(each)) == 0
                self._registered.add(address)
        return addresses, [len(each) for each in memory]


class NixlClient:
    """One transfer of NIXL for all values, from and to memory that is registered once."""

    def __init__(self, url: str) -> None:
        self._folder = _folder_of(url)
        self._agent = posix_agent()
        self._registered: set[int] = set()

    def put(self, names: Sequence[str], memory: Sequence[memoryview]) -> None:
        self._move("WRITE", os.O_CREAT | os.O_WRONLY, names, memory)

    def get(self, names: Sequence[str], targets: Sequence[memoryview]) -> None:
        self._move("READ", os.O_RDONLY, names, targets)

    def remove(self, names: Sequence[str]) -> None:
        for name in names:
            (self._folder / name).unlink()

    def close(self) -> None:
        """Nothing is open between calls."""

    def _move(self, way: str, flags: int, names: Sequence[str], memory: Sequence[memoryview]):
        with ExitStack() as opened:
            files = [
                opened.enter_context(closing(_Opened(self._folder / name, flags))).fd
                for name in names
            ]
            ours = [self._at(each) for each in memory]
            theirs = [(0, len(each), fd) for each, fd in zip(memory, files, strict=True)]
            listed = self._agent.register_memory([(*each, "") for each in theirs], "FILE")
            opened.callback(self._agent.deregister_memory, listed)
            handle = self._agent.initialize_xfer(
                way,
                self._agent.get_xfer_descs(ours, "DRAM"),
                self._agent.get_xfer_descs(theirs, "FILE"),
                self._agent.name,
            )
            opened.callback(self._agent.release_xfer_handle, handle)
            state = self._agent.transfer(handle)
            while state == "PROC":
                state = self._agent.check_xfer_state(handle)
            assert state == "DONE"

    def _at(self, memory: memoryview) -> tuple[int, int, int]:
        address = np.frombuffer(memory, np.uint8).ctypes.data
        if address not in self._registered:
            self._agent.register_memory([(address, len(memory), 0, "")], "DRAM")
            self._registered.add(address)
        return address, len(memory), 0


class _Opened:
    """A file that bypasses the page cache where that is possible."""

    def __init__(self, path: Path, flags: int) -> None:
        try:
            self.fd = os.open(path, flags | os.O_DIRECT, 0o600)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self.fd = os.open(path, flags, 0o600)

    def close(self) -> None:
        os.close(self.fd)


def _folder_of(url: str) -> Path:
    """A folder beside the store's, which takes no foreign files."""
    folder = Path(f"/{url.partition('://')[2].partition('/')[2]}-client")
    folder.mkdir(exist_ok=True)
    return folder
