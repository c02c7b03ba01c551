"""Buffers what a socket receives, and reads large values past the buffer into given memory."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, TypeAlias

from redis.exceptions import ConnectionError

from kvtransfer.stores.redis.wire.limits import OversizedReplyError
from kvtransfer.stores.redis.wire.strings import flat_strings

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from kvtransfer.stores.redis.wire.strings import Strings

Take: TypeAlias = "Callable[[memoryview], object]"
"""Is called with the parts of a value, in order, as they arrive; it may change them in place."""

# Large enough for a batch of small replies; copying that much costs little.
_RECEIVED_BYTES = 16 << 10
# An unexpected value is read and dropped up to this length; beyond, reconnecting is cheaper.
_DRAIN_BYTES = 16 << 20
# No line of the protocol that we use is longer.
_LINE_BYTES = 64 << 10
# A part of a value is taken while the processor's cache still holds it.
_PART_BYTES = 512 << 10
_CLOSED = "Connection closed by server."


def ignore(part: memoryview) -> None:
    """Do nothing with a part of a value."""


class ReadBuffer:
    """Holds what has arrived and was not taken; stands in for redis-py's ``SocketBuffer``.

    Between ``begin`` and ``end`` one deadline bounds all waits together, however slowly bytes
    arrive. One thread at a time uses it; the connection owns the socket.
    """

    def __init__(self, sock: socket.socket, timeout_s: float | None) -> None:
        self._sock = sock
        self._deadline_s: float | None = None
        self._timeout_s = timeout_s
        self._arrived = bytearray()
        self._taken = 0
        self._allowed_bytes = _LINE_BYTES

    def begin(self, deadline_s: float) -> None:
        """Let no wait, for sending either, last beyond ``deadline_s`` of ``time.monotonic``."""
        self._deadline_s = deadline_s
        self.share_deadline()

    def share_deadline(self) -> None:
        """Let the next wait take the time until the deadline, if there is one.

        Raises:
            TimeoutError: the deadline has passed.
        """
        if self._deadline_s is not None:
            left_s = self._deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("deadline passed")
            self._sock.settimeout(left_s)

    def end(self) -> None:
        """Give each wait the connection's own timeout again."""
        self._deadline_s = None
        self._sock.settimeout(self._timeout_s)

    def allow(self, total_bytes: int) -> None:
        """Let ``readline`` and ``read`` together take at most ``total_bytes`` from now on."""
        self._allowed_bytes = total_bytes

    def readline(self, timeout: object = None) -> bytes:
        """Take the next line, and return it without its end.

        Raises:
            OversizedReplyError: the line or the reply is too long.
        """
        searched = self._taken
        while (end := self._arrived.find(b"\r\n", searched)) < 0:
            searched = max(self._taken, len(self._arrived) - 1)
            if len(self._arrived) - self._taken > _LINE_BYTES:
                raise OversizedReplyError(f"a line of more than {_LINE_BYTES} bytes")
            self._receive()
        line = bytes(self._arrived[self._taken : end])
        self._spend(len(line))
        self._taken = end + 2
        return line

    def read(self, length: int, timeout: object = None) -> bytes | None:
        """Take ``length`` bytes and the line end behind them; None for -1, the null of RESP2."""
        if length < 0:
            return None
        self._spend(length)  # checks the length before memory is allocated
        value = bytearray(length)
        self.read_into(memoryview(value))
        return bytes(value)

    def read_into(self, target: memoryview, take: Take = ignore) -> None:
        """Fill ``target`` with the next bytes, and read the line end behind them."""
        rest = self._arrived[self._taken : self._taken + len(target)]
        target[: len(rest)] = rest
        self._taken += len(rest)
        filled, begin = len(rest), 0
        while filled < len(target):
            self.share_deadline()
            received = self._sock.recv_into(target[filled : filled + 2 * _PART_BYTES])
            if received == 0:
                raise ConnectionError(_CLOSED)
            filled += received
            if filled - begin >= _PART_BYTES:  # TLS hands over 16 KiB at a time
                take(target[begin:filled])
                begin = filled
        take(target[begin:])
        if self.readline():
            raise ConnectionError("a value is not followed by a line end")

    def read_digits(self, count: int) -> bytes | None:
        """Take ``count`` replies if all are integers of one digit; otherwise take none, return None."""
        # No reply is shorter than these, so at least this many bytes will arrive.
        while len(self._arrived) - self._taken < 4 * count:
            self._receive()
        replies = bytes(self._arrived[self._taken : self._taken + 4 * count])
        frame = b":" * count, b"\r" * count, b"\n" * count
        digits = replies[1::4]
        if (replies[0::4], replies[2::4], replies[3::4]) != frame or not digits.isdigit():
            return None
        self._taken += 4 * count
        self.purge()
        return digits

    def read_strings(self) -> Strings | None:
        """Take a reply of strings only, if all of it has arrived; otherwise take none, return None."""
        self.peek()
        found = flat_strings(bytes(self._arrived[self._taken :]))
        if found is not None:
            self._taken += found.nbytes
            self.purge()
        return found

    def skip(self, length: int) -> None:
        """Read and drop ``length`` bytes and a line end."""
        if length > _DRAIN_BYTES:
            raise ConnectionError(f"unexpected value of {length} bytes")
        while length > 0:
            if self._taken == len(self._arrived):
                self.purge()
                self._receive()
            step = min(length, len(self._arrived) - self._taken)
            self._taken += step
            length -= step
        self.readline()

    def peek(self) -> int:
        """Return the next byte without taking it."""
        while self._taken == len(self._arrived):
            self._receive()
        return self._arrived[self._taken]

    def can_read(self, timeout: float = 0) -> bool:
        """Whether anything has arrived, or arrives within ``timeout`` seconds."""
        if self._taken < len(self._arrived):
            return True
        self._sock.settimeout(timeout)
        try:
            self._receive_now()
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            return False
        finally:
            self._sock.settimeout(self._timeout_s)
        return True

    def get_pos(self) -> int:
        """Return the position for ``rewind``, valid until ``purge``."""
        return self._taken

    def rewind(self, pos: int) -> None:
        """Go back to ``pos``, so that what was taken since is read again."""
        self._taken = pos

    def purge(self) -> None:
        """Drop what was taken."""
        del self._arrived[: self._taken]
        self._taken = 0

    def close(self) -> None:
        """Do nothing: redis-py closes the socket."""

    def _spend(self, length: int) -> None:
        if length > self._allowed_bytes:
            raise OversizedReplyError(f"{length} bytes are more than a reply may have")
        self._allowed_bytes -= length

    def _receive(self) -> None:
        self.share_deadline()
        self._receive_now()

    def _receive_now(self) -> None:
        more = self._sock.recv(_RECEIVED_BYTES)
        if not more:
            raise ConnectionError(_CLOSED)
        self._arrived += more
