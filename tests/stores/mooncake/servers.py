"""Mooncake's master and one memory segment, as processes of their own on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

READY_S = 120.0
CLIENT_TTL_S = 3
"""Seconds after which the master forgets a segment that has gone."""

_SEGMENT = """
import sys
from mooncake.store import MooncakeDistributedStore
store = MooncakeDistributedStore()
code = store.setup("127.0.0.1", "P2PHANDSHAKE", int(sys.argv[2]), 1 << 20, "tcp", "", sys.argv[1])
print("mounted" if code == 0 else f"failed: {code}", flush=True)
sys.stdin.read()
store.close()
"""


class Mooncake:
    """One master and, where it is ``mounted``, one segment; each can be killed, stopped and started again."""

    def __init__(self, segment_bytes=64 << 20, lease_ms=5000, *, mounted=True):
        self.segment_bytes = segment_bytes
        self.lease_ms = lease_ms
        self.port, self.metrics_port = free_ports(2)
        self.master = self.segment = None
        self.start_master()
        if mounted:
            self.mount()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"mooncake://{self.address}?metrics_port={self.metrics_port}"

    def start_master(self):
        self.master = subprocess.Popen(
            [
                Path(sys.executable).with_name("mooncake_master"),
                "--rpc_address=127.0.0.1",
                f"--rpc_port={self.port}",
                "--metrics_host=127.0.0.1",
                f"--metrics_port={self.metrics_port}",
                f"--default_kv_lease_ttl={self.lease_ms}",
                f"--client_ttl={CLIENT_TTL_S}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, "the master answers")

    def mount(self):
        """Start a process that contributes memory, and wait until the master knows it."""
        self.segment = subprocess.Popen(
            [sys.executable, "-c", _SEGMENT, self.address, str(self.segment_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        said = ""
        while "mounted" not in said:
            said = self.segment.stdout.readline()
            assert said, "no segment"
            assert "failed" not in said

    def names(self):
        return self._get("/get_all_keys").splitlines()

    def close(self):
        for process in filter(None, (self.segment, self.master)):
            kill(process)

    def _answers(self):
        with suppress(OSError):
            self._get("/health")
            with socket.create_connection(("127.0.0.1", self.port), 1.0):
                return True
        return False

    def _get(self, path):
        connection = HTTPConnection("127.0.0.1", self.metrics_port, timeout=READY_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


def kill(process):
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


@contextmanager
def stopped(process):
    """Neither runs nor ends in the body."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def wait_until(is_so, what, seconds=READY_S):
    deadline_s = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline_s, f"not in time: {what}"
        time.sleep(0.02)


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
