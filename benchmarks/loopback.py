"""Measures the ceiling: payloads between two processes over a loopback socket, without a protocol.

Given a certificate and its key, the socket is encrypted, by the same OpenSSL as everything here.
"""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.measure import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_REQUEST = struct.Struct("!cQ")
_DONE = b"."


class Loopback:
    """Owns the other process and the line to it; ``certified`` are the files that encrypt it."""

    def __init__(self, certified: tuple[Path, Path] | None = None) -> None:
        files = map(str, certified or ())
        command = [sys.executable, "-m", "benchmarks.loopback", *files]
        self._child = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pid = self._child.pid
        assert self._child.stdout is not None
        port = int(self._child.stdout.readline())
        self._line = socket.create_connection(("127.0.0.1", port))
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if certified:
            context = ssl.create_default_context(cafile=certified[0])
            self._line = context.wrap_socket(self._line, server_hostname="127.0.0.1")

    def get(self, key: str, target: memoryview) -> None:
        """Fill ``target`` with what the other process has."""
        self._line.sendall(_REQUEST.pack(b"G", len(target)))
        fill(self._line, target)

    def put(self, key: str, payload: bytes) -> None:
        """Hand ``payload`` over and wait until it has arrived."""
        self._line.sendall(_REQUEST.pack(b"P", len(payload)))
        self._line.sendall(payload)
        if self._line.recv(1) != _DONE:
            raise ConnectionError("the other process is gone")

    def close(self) -> None:
        """End the other process."""
        self._line.close()
        self._child.communicate()


def fill(line: socket.socket, target: memoryview) -> None:
    """Receive until ``target`` is full; ConnectionError when the line ends before."""
    while target:
        received = line.recv_into(target)
        if not received:
            raise ConnectionError("the other process is gone")
        target = target[received:]


def main(files: list[str]) -> None:
    """The other process: one line, until it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        line, _ = listener.accept()
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        line = context.wrap_socket(line, server_side=True)
    memory = memoryview(bytearray())
    with line:
        while request := line.recv(_REQUEST.size):  # short enough to arrive as a whole
            kind, length = _REQUEST.unpack(request)
            if len(memory) < length:
                memory = memoryview(bytearray(length))
            if kind == b"G":
                line.sendall(memory[:length])
            else:
                fill(line, memory[:length])
                line.sendall(_DONE)


if __name__ == "__main__":
    main(sys.argv[1:])
