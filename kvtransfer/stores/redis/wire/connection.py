"""Replies straight into the caller's memory, on connections that redis-py opens and owns.

redis-py connects, authenticates, encrypts, retries and pools; its parser reads every small reply.
Only the bytes below the parser are ours: a :class:`Window` on the socket. Private names of redis-py
8 are used here and nowhere else;
``tests/stores/redis/wire/test_connection.py`` fails when a release moves them.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from redis._parsers.resp3 import _RESP3Parser
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError, InvalidResponse, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kvtransfer.stores.redis.wire.batch import sent
from kvtransfer.stores.redis.wire.limits import ABOUT_ENTRIES, OversizedReplyError
from kvtransfer.stores.redis.wire.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.stores.redis.wire.batch import Batch, Command

# From here on most of a call is waiting.
_FAR_S = 0.01
# In a row: we never ask for any.
_MOST_PUSHES = 64


class WrongLengthError(RedisError):
    """A value had another length than the memory it was to fill."""


class WireParser(_RESP3Parser):
    """redis-py's own parser, RESP2 and RESP3, on a :class:`Window`, and within limits."""

    limits = ABOUT_ENTRIES
    window: Window
    """Of the connection that is open."""
    _elements = 0
    _depth = 0

    def on_connect(self, connection: Any) -> None:  # noqa: ANN401 - any kind of redis-py's
        """See redis-py."""
        self._sock = connection._sock
        self._buffer = self.window = Window(connection._sock, connection.socket_timeout)
        if connection.deadline_s is not None:
            self.window.begin(connection.deadline_s)
        self.encoder = connection.encoder

    def read_response(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """See redis-py, whose errors are of all kinds where a reply was garbled."""
        self.window.allow(self.limits.total_bytes)
        self._elements = self._depth = 0
        try:
            return super().read_response(*arguments, **options)
        except (RedisError, OSError):
            raise
        except Exception as error:
            raise InvalidResponse("a reply makes no sense") from error

    def _read_response(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """The next value, which may be a part of another one."""
        self._elements += 1
        if self._elements > self.limits.elements or self._depth > self.limits.depth:
            raise OversizedReplyError("a reply has too many parts")
        self._depth += 1
        value = super()._read_response(*arguments, **options)
        self._depth -= 1
        return value

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

    def begin_value(self, nbytes: int) -> bool | RedisError:
        """Read what comes before a string of ``nbytes``, or all of another reply.

        Returns:
            True: the string comes next, for ``window.read_into``. False for a null; the server's
            error; ``WrongLengthError`` for a value of another length, which is read away.
        """
        self._skip_pushes()
        self.window.allow(self.limits.total_bytes)
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
        if length == nbytes:
            return True
        if length >= 0:
            self.window.skip(length)
        self.window.purge()
        return length != -1 and WrongLengthError(f"a value of {length} bytes instead of {nbytes}")

    def _skip_pushes(self) -> None:
        """Read away what answers no question."""
        for _ in range(_MOST_PUSHES):
            if self.window.peek() != ord(">"):
                return
            self.read_response(push_request=True)
        raise OversizedReplyError("pushes instead of a reply")


class Wire:
    """Mixed into redis-py's connections."""

    parser_class: type[WireParser] = WireParser
    _parser: WireParser
    _socket_timeout: float | None
    deadline_s: float | None = None
    """When connecting has to be done, by ``time.monotonic``."""
    is_far: bool = False
    """Whether the server is, by what it took to connect and greet."""

    @property
    def parser(self) -> WireParser:
        """Takes the replies."""
        return self._parser

    # redis-py asks for both before each wait: for an address, for TLS, for each answer to its
    # greetings. So what is left is shared by all of them.
    @property
    def socket_timeout(self) -> float | None:
        """What is left until the deadline; without one, redis-py's own timeout."""
        if self.deadline_s is None:
            return self._socket_timeout
        left_s = self.deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("deadline passed")
        return left_s

    @socket_timeout.setter
    def socket_timeout(self, timeout_s: float | None) -> None:
        self._socket_timeout = timeout_s

    @property
    def socket_connect_timeout(self) -> float | None:
        """As ``socket_timeout``."""
        return self.socket_timeout

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, timeout_s: float | None) -> None:
        self._socket_timeout = timeout_s

    def connect(self) -> None:
        """See redis-py, whose errors are of all kinds where an address or a greeting is garbled."""
        try:
            super().connect()  # type: ignore[misc]
        except (RedisError, OSError):
            raise
        except Exception as error:
            self.disconnect()
            raise ConnectionError(f"can't connect: {error}") from error

    def disconnect(self, *args: object, **kwargs: object) -> None:
        """Close it; it connects again in its next exchange."""
        super().disconnect(*args, **kwargs)  # type: ignore[misc]

    def is_usable(self) -> bool:
        """Whether it is open, as far as one can see, and nothing stale has arrived."""
        try:
            return self.is_connected and not self._parser.window.can_read()  # type: ignore[attr-defined]
        except (ConnectionError, OSError):
            return False

    def send(self, commands: Sequence[Command], prefix: bytes = b"") -> None:
        """Send what is packed already, payloads from where they lie."""
        for part in sent(commands, prefix):
            self._parser.window.share_deadline()
            self.send_packed_command([part], check_health=False)  # type: ignore[attr-defined]

    def set_parser(self, parser_class: type) -> None:
        """Always ours; a cluster's exception classes come with ``parser_class``."""
        super().set_parser(self.parser_class)  # type: ignore[misc]
        self._parser.EXCEPTION_CLASSES = parser_class.EXCEPTION_CLASSES  # type: ignore[attr-defined]

    def execute(self, batch: Batch, deadline_s: float) -> list[object]:
        """Connect if need be, send ``batch`` and read what it is answered by ``deadline_s``.

        Returns:
            A reply to each command, and for a value one more for each of its slices: True where it
            was filled. Errors are returned like other replies.

        Raises:
            RedisError: the replies were cut short. The connection is closed, for what may still
                arrive on it would be taken for the reply to another batch.
        """
        with self._bounded(deadline_s):
            if batch.value is None:
                self.send(batch.commands, batch.prefix)
                return batch.read_replies(self._parser)
            reading = batch.value.reading(is_far=self.is_far)
            self.send([*batch.commands, *reading.first], batch.prefix)
            replies = batch.read_replies(self._parser)
            for part in reading.parts(replies[batch.value.length_at]):
                batch.skip_prefix(self._parser)
                replies.append(reply := self._parser.begin_value(len(part)))
                if reply is True:  # here rather than in the parser: a frame less for each piece
                    self._parser.window.read_into(part)
                    self._parser.window.purge()
                if ask := reading.next_ask():
                    self.send(ask, batch.prefix)
            return replies

    @contextmanager
    def _bounded(self, deadline_s: float) -> Iterator[None]:
        """Connected, and with a deadline for all that is sent and read; closed on any failure."""
        connection: Any = self
        self.deadline_s = deadline_s
        try:
            self._greet()
            self._parser.window.begin(deadline_s)
            yield
            self._parser.window.end()
        except TimeoutError as error:
            connection.disconnect()
            raise RedisTimeoutError("no answer in time") from error
        except OSError as error:
            connection.disconnect()
            raise ConnectionError(f"connection lost: {error}") from error
        except BaseException:
            connection.disconnect()
            raise

    def _greet(self) -> None:
        connection: Any = self
        if not connection.is_connected:
            began_s = time.monotonic()
            connection.connect()
            self.is_far = time.monotonic() - began_s > _FAR_S


class WireConnection(Wire, Connection):
    """TCP."""


class WireSSLConnection(Wire, SSLConnection):
    """TLS."""


class WireUnixConnection(Wire, UnixDomainSocketConnection):
    """Unix socket."""
