"""A TCP proxy that treats what passes as badly as it is told to."""

from __future__ import annotations

import select
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST, REPLY = "request", "reply"
_PIECE_BYTES = 1 << 18
_RESET = struct.pack("ii", 1, 0)

Rule = "Callable[[Line, str, bytes], None]"


class Broken(OSError):
    """The connection is to be given up."""


@dataclass
class Trip:
    """What happens once ``left_bytes`` more have passed one way."""

    way: str
    left_bytes: int
    action: Callable[[], None]
    sprung: Event = field(default_factory=Event)


class Proxy:
    """Lines to the server on ``server_port``, each served by a thread of its own."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._lock = Lock()
        self._trip: Trip | None = None
        self._lines: set[Line] = set()
        self.holding: tuple[Rule, Event] = (passing, Event())
        """The rule, and what is set once another one holds: one value, for lines read both."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._thread = Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    def follow(self, rule: Rule) -> None:
        """Treat everything by ``rule`` from now on."""
        with self._lock:
            (_, ended), self.holding = self.holding, (rule, Event())
        ended.set()

    def trip(self, way: str, after_bytes: int, action: Callable[[], None]) -> Trip:
        """Do ``action`` once, between that byte and the next one on the ``way``."""
        with self._lock:
            self._trip = Trip(way, after_bytes, action)
            return self._trip

    def untrip(self) -> bool:
        """Forget the trip; False where it has sprung already."""
        with self._lock:
            trip, self._trip = self._trip, None
        return trip is not None

    def due(self, way: str, data: bytes) -> tuple[int, Trip | None]:
        """How much of ``data`` may pass before a trip springs, and that."""
        with self._lock:
            trip = self._trip
            if trip is None or trip.way != way:
                return len(data), None
            if trip.left_bytes > len(data):
                trip.left_bytes -= len(data)
                return len(data), None
            self._trip = None
            return trip.left_bytes, trip

    def forget_lines(self) -> None:
        """Carry nothing any more on the lines that there are, as a firewall does; new ones are well."""
        with self._lock:
            lines = frozenset(self._lines)
        self.follow(forgetting(lines))

    def hang_up(self) -> None:
        """End all lines."""
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            line.hang_up()
        for line in lines:
            line.thread.join()

    def close(self) -> None:
        """Serve nobody any more."""
        self.follow(passing)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.hang_up()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            line = Line(self, client, self._server_port)
            with self._lock:
                self._lines.add(line)
                line.thread.start()

    def forget(self, line: Line) -> None:
        """``line`` has ended."""
        with self._lock:
            self._lines.discard(line)


class Line:
    """One client's connection and ours to the server behind."""

    def __init__(self, proxy: Proxy, client: socket.socket, server_port: int) -> None:
        self.proxy = proxy
        self._server_port = server_port
        self._client = client
        self._server = socket.socket()
        self.healed = Event()
        """Set when the rule that this connection obeys ends."""
        self.thread = Thread(target=self._run, name="proxy-line", daemon=True)

    def send(self, way: str, data: bytes) -> None:
        """Hand ``data`` on."""
        (self._server if way == REQUEST else self._client).sendall(data)

    def reset(self) -> None:
        """End with what the client sees as a connection reset."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        raise Broken

    def hang_up(self) -> None:
        """End, from another thread."""
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        with suppress(OSError), self._client, self._server:
            for end in (self._client, self._server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._server.connect(("127.0.0.1", self._server_port))
            while self._pump():
                pass
        self.proxy.forget(self)

    def _pump(self) -> bool:
        ready, _, _ = select.select([self._client, self._server], [], [])
        for end in ready:
            data = end.recv(_PIECE_BYTES)
            if not data:
                return False
            self._treat(REQUEST if end is self._client else REPLY, data)
        return True

    def _treat(self, way: str, data: bytes) -> None:
        passes, trip = self.proxy.due(way, data)
        self._obey(way, data[:passes])
        if trip is not None:
            trip.action()
            trip.sprung.set()
            self._obey(way, data[passes:])

    def _obey(self, way: str, data: bytes) -> None:
        rule, self.healed = self.proxy.holding
        rule(self, way, data)


def passing(line: Line, way: str, data: bytes) -> None:
    line.send(way, data)


def stalling(line: Line, way: str, data: bytes) -> None:
    """Nothing moves until it is healed."""
    line.healed.wait()
    line.send(way, data)


def swallowing(line: Line, way: str, data: bytes) -> None:
    """Replies are lost."""
    if way == REQUEST:
        line.send(way, data)


def forgetting(lines: frozenset[Line]) -> Rule:
    """What is sent on any of ``lines`` goes nowhere, and nobody is told."""

    def rule(line: Line, way: str, data: bytes) -> None:
        if line not in lines:
            line.send(way, data)

    return rule


def resetting(line: Line, way: str, data: bytes) -> None:
    """Replies end half way."""
    if way == REPLY:
        line.send(way, data[: len(data) // 2])
        line.reset()
    line.send(way, data)


def closing(line: Line, way: str, data: bytes) -> None:
    """Replies end half way, in good order."""
    if way == REPLY:
        line.send(way, data[: len(data) // 2])
        raise Broken
    line.send(way, data)


def dribbling(every_s: float) -> Rule:
    """Replies come one byte at a time."""

    def rule(line: Line, way: str, data: bytes) -> None:
        sent = 0
        while way == REPLY and sent < len(data) and not line.healed.wait(every_s):
            line.send(way, data[sent : sent + 1])
            sent += 1
        line.send(way, data[sent:])

    return rule


def delaying(seconds: float) -> Rule:
    """Each piece waits."""

    def rule(line: Line, way: str, data: bytes) -> None:
        line.healed.wait(seconds)
        line.send(way, data)

    return rule


def delaying_replies(seconds: float) -> Rule:
    """Each piece of a reply waits."""

    def rule(line: Line, way: str, data: bytes) -> None:
        if way == REPLY:
            line.healed.wait(seconds)
        line.send(way, data)

    return rule


def answering(reply: bytes) -> Rule:
    """``reply`` is the answer to everything, and the server isn't asked."""

    def rule(line: Line, way: str, data: bytes) -> None:
        if way == REQUEST and data:
            line.send(REPLY, reply)

    return rule


def flipping(at: int, bit: int) -> Rule:
    """One bit of the next reply is another one; once."""
    left = [at]

    def rule(line: Line, way: str, data: bytes) -> None:
        if way == REPLY and left and left[0] < len(data):
            at = left.pop()
            data = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        line.send(way, data)

    return rule
