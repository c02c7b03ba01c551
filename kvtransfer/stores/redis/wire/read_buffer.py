"""A small read_buffer on a socket, which hands large values on without keeping them."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

from redis.exceptions import ConnectionError

from kvtransfer.stores.redis.wire.limits import OversizedReplyError

if TYPE_CHECKING:
    import socket

# Large enough for a batch of small replies, small enough to copy its rest without a thought.
_RECEIVED_BYTES = 16 << 10
# A value of another length than expected is read away up to here; beyond, reconnecting is cheaper.
_DRAIN_BYTES = 16 << 20
# No line that means anything is longer.
_LINE_BYTES = 64 << 10
_CLOSED = "Connection closed by server."


class ReadBuffer:
    """What has arrived and not been taken, at most ``_RECEIVED_BYTES`` beyond what was asked for.

    Takes the place of redis-py's ``SocketBuffer``. Between ``begin`` and ``end`` all waits together
    are bounded, however slowly the bytes come.
    """

    def __init__(self, sock: socket.socket, timeout_s: float | None) -> None:
        self._sock = sock
        self._deadline_s: float | None = None
        self._timeout_s = timeout_s
        self._arrived = bytearray()
        self._taken = 0
        self._allowed_bytes = _LINE_BYTES

    def begin(self, deadline_s: float) -> None:
        """Nothing waits beyond ``deadline_s`` of ``time.monotonic``, sending neither."""
        self._deadline_s = deadline_s
        self.share_deadline()

    def share_deadline(self) -> None:
        """The next wait may take what is left until the deadline, if there is one."""
        if self._deadline_s is not None:
            left_s = self._deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("deadline passed")
            self._sock.settimeout(left_s)

    def end(self) -> None:
        """Each wait has the connection's own timeout again."""
        self._deadline_s = None
        self._sock.settimeout(self._timeout_s)

    def allow(self, total_bytes: int) -> None:
        """From now on ``readline`` and ``read`` together take no more than that."""
        self._allowed_bytes = total_bytes

    def readline(self, timeout: object = None) -> bytes:
        """The next line, without its end."""
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
        """The next ``length`` bytes; takes the line end behind them too. RESP2's null is -1."""
        if length < 0:
            return None
        self._spend(length)  # before there is memory for it
        value = bytearray(length)
        self.read_into(memoryview(value))
        return bytes(value)

    def read_into(self, target: memoryview) -> None:
        """Fill ``target`` with the next bytes; takes the line end behind them too."""
        rest = self._arrived[self._taken : self._taken + len(target)]
        target[: len(rest)] = rest
        self._taken += len(rest)
        filled = len(rest)
        while filled < len(target):
            self.share_deadline()
            received = self._sock.recv_into(target[filled:])
            if received == 0:
                raise ConnectionError(_CLOSED)
            filled += received
        if self.readline():
            raise ConnectionError("a value is not followed by a line end")

    def read_digits(self, count: int) -> bytes | None:
        """The next ``count`` replies where all are integers of one digit; None, and all left."""
        # No other reply is shorter, so as many bytes arrive whatever it is.
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

    def skip(self, length: int) -> None:
        """Read ``length`` bytes and a line end away."""
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
        """The next byte, left where it is."""
        while self._taken == len(self._arrived):
            self._receive()
        return self._arrived[self._taken]

    def can_read(self, timeout: float = 0) -> bool:
        """Whether anything has arrived, or does within ``timeout`` seconds; nothing should have."""
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
        """Where ``rewind`` may go back to until ``purge``."""
        return self._taken

    def rewind(self, pos: int) -> None:
        """Take again what was taken since ``pos``."""
        self._taken = pos

    def purge(self) -> None:
        """Forget what was taken."""
        del self._arrived[: self._taken]
        self._taken = 0

    def close(self) -> None:
        """The connection is closed by its owner."""

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
