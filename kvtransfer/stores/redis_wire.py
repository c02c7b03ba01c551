"""Replies straight into the caller's memory, on connections that redis-py opens and owns.

redis-py connects, authenticates, encrypts, retries and pools; its parser reads every small reply.
Only the bytes below the parser are ours: a small window on the socket that hands large values on
without keeping them. Private names of redis-py 8 are used here and nowhere else;
``tests/stores/test_redis_wire.py`` fails when a release moves them.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any, TypeVar

from redis._parsers.resp3 import _RESP3Parser
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError, InvalidResponse, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

T = TypeVar("T")

# Large enough for a batch of small replies, small enough to copy its rest without a thought.
_WINDOW_BYTES = 16 << 10
# A value of another length than expected is read away up to here; beyond, reconnecting is cheaper.
_DRAIN_BYTES = 16 << 20


class WrongLengthError(RedisError):
    """A value had another length than the memory it was to fill."""


class Window:
    """What has arrived and not been taken, at most ``_WINDOW_BYTES`` beyond what was asked for.

    Takes the place of redis-py's ``SocketBuffer``. Between ``begin`` and ``end`` all waits together
    are bounded, however slowly the bytes come.
    """

    def __init__(self, sock: socket.socket, timeout_s: float | None) -> None:
        self._sock = sock
        self._deadline_s: float | None = None
        self._timeout_s = timeout_s
        self._arrived = bytearray()
        self._taken = 0

    def begin(self, deadline_s: float) -> None:
        """Nothing waits beyond ``deadline_s`` of ``time.monotonic``, sending neither."""
        self._deadline_s = deadline_s
        self._set_timeout()

    def end(self) -> None:
        """Each wait has the connection's own timeout again."""
        self._deadline_s = None
        self._sock.settimeout(self._timeout_s)

    def readline(self, timeout: object = None) -> bytes:
        """The next line, without its end."""
        while (end := self._arrived.find(b"\r\n", self._taken)) < 0:
            self._receive()
        line = bytes(self._arrived[self._taken : end])
        self._taken = end + 2
        return line

    def read(self, length: int, timeout: object = None) -> bytes | None:
        """The next ``length`` bytes; takes the line end behind them too. RESP2's null is -1."""
        if length < 0:
            return None
        if length > _DRAIN_BYTES:  # before there is memory for it
            raise ConnectionError(f"unexpected value of {length} bytes")
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
            filled += self._wait(target[filled:])
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
        scratch = memoryview(bytearray(_WINDOW_BYTES))
        while length > 0:
            step = min(length, _WINDOW_BYTES)
            rest = min(step, len(self._arrived) - self._taken)
            self._taken += rest
            length -= rest or self._wait(scratch[:step])
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

    def _receive(self) -> None:
        self._set_timeout()
        self._receive_now()

    def _receive_now(self) -> None:
        more = self._sock.recv(_WINDOW_BYTES)
        if not more:
            raise ConnectionError("Connection closed by server.")
        self._arrived += more

    def _wait(self, target: memoryview) -> int:
        self._set_timeout()
        received = self._sock.recv_into(target)
        if received == 0:
            raise ConnectionError("Connection closed by server.")
        return received

    def _set_timeout(self) -> None:
        if self._deadline_s is not None:
            left_s = self._deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("deadline passed")
            self._sock.settimeout(left_s)


class WireParser(_RESP3Parser):
    """redis-py's own parser, RESP2 and RESP3, on a :class:`Window`."""

    window: Window
    """Of the connection that is open."""

    def on_connect(self, connection: Any) -> None:  # noqa: ANN401 - any kind of redis-py's
        """See redis-py."""
        self._sock = connection._sock
        self._buffer = self.window = Window(connection._sock, connection.socket_timeout)
        self.encoder = connection.encoder

    def read_response(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """See redis-py, whose errors are of other kinds where a line was garbled."""
        try:
            return super().read_response(*arguments, **options)
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidResponse("a reply makes no sense") from error

    def read_reply(self) -> object:
        """Read one small reply, text as bytes; an error is returned, not raised."""
        return self.read_response(disable_decoding=True)

    def read_counts(self, count: int) -> list[int]:
        """Read ``count`` replies, which have to be integers.

        Raises:
            RedisError: the first that isn't one.
        """
        digits = self.window.read_digits(count)
        if digits is not None:
            return [digit - ord("0") for digit in digits]
        replies = [self.read_reply() for _ in range(count)]
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        counts = [reply for reply in replies if isinstance(reply, int)]
        if len(counts) < count:
            raise InvalidResponse("expected numbers only")
        return counts

    def read_value_into(self, target: memoryview) -> bool | RedisError:
        """Read one reply: a string of the length of ``target`` fills it.

        Returns:
            True; False for a null; the server's error; ``WrongLengthError`` for a value of another
            length, which is read away. ``target`` is undefined but for True.
        """
        while self.window.peek() == ord(">"):  # a push, sent to nobody's question
            self.read_response(push_request=True)
        if self.window.peek() != ord("$"):
            reply = self.read_response(disable_decoding=True)
            if reply is None or isinstance(reply, RedisError):
                return reply or False
            raise ConnectionError(f"expected a value, got {type(reply).__name__}")
        line = self.window.readline()
        try:
            length = int(line[1:])
        except ValueError as error:
            raise InvalidResponse(f"a value of {line[1:]!r} bytes") from error
        if length == len(target):
            self.window.read_into(target)
        elif length >= 0:
            self.window.skip(length)
        self.window.purge()
        if length in (len(target), -1):
            return length >= 0
        return WrongLengthError(f"a value of {length} bytes instead of {len(target)}")


class Wire:
    """Mixed into redis-py's connections."""

    _parser: WireParser

    @property
    def parser(self) -> WireParser:
        """Takes the replies."""
        return self._parser

    def send(self, request: Sequence[bytes | memoryview]) -> None:
        """Send what is packed already, from where it lies."""
        self.send_packed_command(request, check_health=False)  # type: ignore[attr-defined]

    def set_parser(self, parser_class: type) -> None:
        """Always ours; a cluster's exception classes come with ``parser_class``."""
        super().set_parser(WireParser)  # type: ignore[misc]
        self._parser.EXCEPTION_CLASSES = parser_class.EXCEPTION_CLASSES  # type: ignore[attr-defined]

    def exchange(self, talk: Callable[[Wire], T], deadline_s: float) -> T:
        """Connect if need be, let ``talk`` send and read, and be done by ``deadline_s``.

        Raises:
            RedisError: the talk was cut short. The connection is closed, for what may still arrive
                on it would be taken for the reply to another request.
        """
        connection: Any = self
        connection.connect()
        try:
            window = self._parser.window
            window.begin(deadline_s)
            result = talk(self)
            window.end()
        except TimeoutError as error:
            connection.disconnect()
            raise RedisTimeoutError("no answer in time") from error
        except OSError as error:
            connection.disconnect()
            raise ConnectionError(f"connection lost: {error}") from error
        except BaseException:
            connection.disconnect()
            raise
        return result


class WireConnection(Wire, Connection):
    """TCP."""


class WireSSLConnection(Wire, SSLConnection):
    """TLS."""


class WireUnixConnection(Wire, UnixDomainSocketConnection):
    """Unix socket."""


def command(*arguments: bytes) -> bytes:
    """``arguments`` as the protocol writes them."""
    parts = [b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in arguments]
    return b"*%d\r\n%b" % (len(arguments), b"".join(parts))
