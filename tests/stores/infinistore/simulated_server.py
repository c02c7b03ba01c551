"""Keeps values for the simulated client of InfiniStore, as the real server would, but over TCP."""

from __future__ import annotations

import socket
import socketserver
import struct
from contextlib import suppress
from threading import Event, Lock, Thread

_REQUEST = struct.Struct("!cHQ")
_ANSWER = struct.Struct("!iQ")
FINISH, INVALID, ABSENT, FULL = 200, 400, 404, 507


class SimulatedServer:
    """Holds ``values`` by name; more than ``limit_bytes`` of them are refused."""

    def __init__(self, limit_bytes=1 << 30):
        self.values = {}
        self.limit_bytes = limit_bytes
        self.runs = Event()
        """Cleared, it answers nothing."""
        self.runs.set()
        self._lock = Lock()
        self._connections = []
        self.port = 0
        self.start()

    def start(self):
        """Listen; again at the same port."""
        self._server = _Listener(("127.0.0.1", self.port), self)
        self.port = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def kill(self):
        """End at once, with all connections; what it held is lost."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.values.clear()

    def close(self):
        self.runs.set()
        self.kill()

    def serve(self, connection):
        with self._lock:
            self._connections.append(connection)
        stream = connection.makefile("rb")
        while head := stream.read(_REQUEST.size):
            operation, name_bytes, nbytes = _REQUEST.unpack(head)
            name = stream.read(name_bytes).decode()
            value = stream.read(nbytes) if operation == b"W" else b""
            self.runs.wait()
            with self._lock:
                code, answer = self._execute(operation, name, value, nbytes)
            connection.sendall(_ANSWER.pack(code, len(answer)) + answer)

    def _execute(self, operation, name, value, room_bytes):
        if operation == b"W":
            held_bytes = sum(map(len, self.values.values()))
            if held_bytes + len(value) > self.limit_bytes:
                return FULL, b""
            self.values[name] = value
            return FINISH, b""
        if name not in self.values:
            return ABSENT, b""
        if operation == b"D":
            del self.values[name]
        if operation != b"R":
            return FINISH, b""
        found = self.values[name]
        return (FINISH, found) if len(found) <= room_bytes else (INVALID, b"")


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address, simulated):
        self._simulated = simulated
        super().__init__(address, None)

    def finish_request(self, request, client_address):
        with suppress(OSError, struct.error):
            self._simulated.serve(request)
