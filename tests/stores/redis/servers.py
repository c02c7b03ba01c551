"""Redis-compatible servers for tests: on free ports, in directories of their own, taken down."""

from __future__ import annotations

import shutil
import time
import weakref
from contextlib import contextmanager
from pathlib import Path

import redis

from kvtransfer.stores.embedded.address import LoopbackPort, free_port
from kvtransfer.stores.embedded.process import ServerProcess
from kvtransfer.stores.embedded.server import server_binary

PASSWORD = "s3cret"


def redis_binary():
    """The path of the system's Redis, which `scripts/install_system_packages` installs."""
    path = shutil.which("redis-server")
    assert path, "no redis-server: run scripts/install_system_packages"
    return Path(path)


BINARIES = {"redis": redis_binary, "valkey": server_binary}


class Server:
    """One run of a server with ``PASSWORD``, in a folder of its own in ``directory``."""

    def __init__(self, binary, directory, *config, port=None):
        self.port = free_port() if port is None else port
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        folder = directory / f"server-{self.port}"
        folder.mkdir()
        lines = (f"dir {folder}", 'save ""', f"requirepass {PASSWORD}")
        text = "\n".join((*lines, *config, ""))
        process = ServerProcess(binary, LoopbackPort(self.port), text)
        self.pid = process.pid
        self.kill = weakref.finalize(self, process.end)  # as SIGKILL does; again is harmless
        if not process.answers(PASSWORD):
            self.kill()
            raise AssertionError(f"no server on {self.port}: {process.last_words}")

    @contextmanager
    def client(self):
        """Commands to it, with replies that are the same on every server."""
        with redis.Redis(port=self.port, password=PASSWORD, protocol=2) as client:
            yield client


def until(condition, timeout_s=20.0):
    """Return what ``condition`` says as soon as it is true."""
    deadline_s = time.monotonic() + timeout_s
    while not (said := condition()):
        assert time.monotonic() < deadline_s, f"still not so after {timeout_s} s: {condition}"
        time.sleep(0.02)
    return said
