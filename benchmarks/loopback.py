"""Measures the ceiling: payloads between two processes over a loopback socket, without a protocol."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys

from benchmarks.measure import ROOT

_REQUEST = struct.Struct("!cQ")
_DONE = b"."


class Loopback:
    """Owns the other process and the line to it."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.loopback"]
        self._child = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pid = self._child.pid
        assert self._child.stdout is not None
        port = int(self._child.stdout.readline())
        self._line = socket.create_connection(("127.0.0.1", port))
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, key: str, target: memoryview) -> None:
        """Fill ``target`` with what the other process has."""
        self._line.sendall(_REQUEST.pack(b"G", len(target)))
        fill(self._line, target)

    def put(self, key: str, payload: bytes) -> None:
        """Hand ``payload`` over and wait until it has arrived."""
        self._line.sendmsg([_REQUEST.pack(b"P", len(payload))])
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


def main() -> None:
    """The other process: one line, until it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        line, _ = listener.accept()
    memory, request = memoryview(bytearray()), memoryview(bytearray(_REQUEST.size))
    with line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while line.recv_into(request, flags=socket.MSG_WAITALL) == len(request):
            kind, length = _REQUEST.unpack(request)
            if len(memory) < length:
                memory = memoryview(bytearray(length))
            if kind == b"G":
                line.sendall(memory[:length])
            else:
                fill(line, memory[:length])
                line.sendall(_DONE)


if __name__ == "__main__":
    main()
