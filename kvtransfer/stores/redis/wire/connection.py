"""Executes batches on connections that redis-py opens, each within one deadline.

redis-py connects, authenticates and encrypts. Payloads are read straight into the caller's memory;
redis-py's parser reads all other replies. Private names of redis-py 8 are used in this file and in
``parser.py`` alone; ``tests/stores/redis/wire/test_connection.py`` fails when a release moves them.
"""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import AuthenticationError, ConnectionError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kvtransfer.stores.redis.renewed_password import RenewedPassword
from kvtransfer.stores.redis.wire.batch import command, sent
from kvtransfer.stores.redis.wire.parser import ReplyParser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis.credentials import CredentialProvider

    from kvtransfer.stores.redis.wire.batch import Batch, Command

# A server that takes longer to answer is far away: most of a call is waiting.
_FAR_S = 0.01
# Beside busy processes one answer may be late; not each of them.
_PINGS = 3
# Where redis-py itself is given no timeout.
_LONGEST_S = 10.0
_PING = command(b"PING")
# Linux alone has it.
_MORE = getattr(socket, "MSG_MORE", 0)


class StoreConnection:
    """Mixed into redis-py's connections; one thread at a time uses one."""

    parser_class: type[ReplyParser] = ReplyParser
    _parser: ReplyParser
    _socket_timeout: float | None
    _has_flags = True
    """Whether the socket can be told that more follows, so that a short piece is not sent alone."""
    deadline_s: float | None = None
    """When connecting has to be done, by ``time.monotonic``."""
    credential_provider: CredentialProvider | None
    is_far: bool = False
    """Whether the server is far away, by how soon it answered when it was connected."""

    @property
    def parser(self) -> ReplyParser:
        """The parser that reads this connection's replies."""
        return self._parser

    # redis-py reads both timeouts before each wait: for an address, for TLS, for each reply to its
    # greetings. All of these waits share the time until the deadline.
    @property
    def socket_timeout(self) -> float | None:
        """The seconds until the deadline; without a deadline, redis-py's own timeout.

        Raises:
            TimeoutError: the deadline has passed.
        """
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
        """The same as ``socket_timeout``."""
        return self.socket_timeout

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, timeout_s: float | None) -> None:
        self._socket_timeout = timeout_s

    @property
    def sock(self) -> socket.socket | None:
        """The socket; None while it isn't connected."""
        sock: socket.socket | None = self._sock  # type: ignore[attr-defined]
        return sock

    def connect(self) -> None:
        """See redis-py; a garbled address or greeting raises ConnectionError, like other failures."""
        try:
            self._connect_as_user()
        except (RedisError, OSError):
            raise
        except Exception as error:
            self.disconnect()
            raise ConnectionError(f"can't connect: {error}") from error

    def _connect_as_user(self) -> None:
        """Connect; with a password that is renewed, once more where the server refuses the last one."""
        source = self.credential_provider
        if self.is_connected or not isinstance(source, RenewedPassword):  # type: ignore[attr-defined]
            super().connect()  # type: ignore[misc]
            return
        deadline_s = time.monotonic() + (self.socket_timeout or _LONGEST_S)
        password = source.wait(deadline_s)
        try:
            super().connect()  # type: ignore[misc]
        except AuthenticationError:
            if source.after(password, deadline_s) == password:
                raise
            super().connect()  # type: ignore[misc]

    def disconnect(self, *args: object, **kwargs: object) -> None:
        """Close the connection; the next batch connects again."""
        super().disconnect(*args, **kwargs)  # type: ignore[misc]

    def is_usable(self) -> bool:
        """Whether it seems to be open, and no stale reply has arrived."""
        try:
            return self.is_connected and not self._parser.read_buffer.can_read()  # type: ignore[attr-defined]
        except (ConnectionError, OSError):
            return False

    def send(self, commands: Sequence[Command], prefix: bytes = b"") -> None:
        """Send packed commands, and payloads without a copy."""
        sock: socket.socket = self._sock  # type: ignore[attr-defined]
        for piece, more in sent(commands, prefix):
            self._parser.read_buffer.share_deadline()
            sock.sendall(piece, _MORE if more and self._has_flags else 0)

    def set_parser(self, parser_class: type) -> None:
        """Set our parser, with the exception classes of ``parser_class``, which a cluster extends."""
        super().set_parser(self.parser_class)  # type: ignore[misc]
        self._parser.EXCEPTION_CLASSES = parser_class.EXCEPTION_CLASSES  # type: ignore[attr-defined]

    def execute(self, batch: Batch, deadline_s: float) -> list[object]:
        """Connect if need be, send ``batch`` and read its replies until ``deadline_s``.

        Slices of a value are asked for while others arrive.

        Returns:
            One reply to each command, then one for each slice of the batch's value: True where the
            slice was filled. Errors of the server are returned like other replies.

        Raises:
            RedisError: the replies didn't all arrive. The connection is then closed, as a late reply
                would be taken for the reply to another batch.
        """
        with self._bounded(deadline_s):
            if batch.value is None:
                self.send(batch.commands, batch.prefix)
                return batch.read_replies(self._parser)
            # In one function with the reading of pieces: that saves a frame for each piece.
            reading = batch.value.reading(is_far=self.is_far)
            self.send([*batch.commands, *reading.first], batch.prefix)
            replies = batch.read_replies(self._parser)
            take = batch.value.begin(replies)
            for part in reading.parts(replies[batch.value.length_at]):
                batch.skip_prefix(self._parser)
                replies.append(reply := self._parser.begin_value(len(part)))
                if reply is True:
                    self._parser.read_buffer.read_into(part, take)
                    self._parser.read_buffer.purge()
                if ask := reading.next_ask():
                    self.send(ask, batch.prefix)
            return replies

    @contextmanager
    def _bounded(self, deadline_s: float) -> Iterator[None]:
        """Connect, bound all sending and reading of the body, and close the connection on a failure."""
        connection: Any = self
        self.deadline_s = deadline_s
        try:
            began_s, is_new = time.monotonic(), not connection.is_connected
            if is_new:
                connection.connect()
            self._parser.read_buffer.begin(deadline_s)
            if is_new:
                self.is_far = time.monotonic() - began_s > _FAR_S and self._answers_late()
            yield
            self._parser.read_buffer.end()
        except TimeoutError as error:
            connection.disconnect()
            raise RedisTimeoutError("no answer in time") from error
        except OSError as error:
            connection.disconnect()
            raise ConnectionError(f"connection lost: {error}") from error
        except BaseException:
            connection.disconnect()
            raise

    def _answers_late(self) -> bool:
        """Whether none of a few answers comes soon; an error is an answer, too."""
        for _ in range(_PINGS):
            began_s = time.monotonic()
            self.send([_PING])
            self._parser.read_reply()
            if time.monotonic() - began_s <= _FAR_S:
                return False
        return True


class TCPConnection(StoreConnection, Connection):
    """A connection over TCP."""


class TLSConnection(StoreConnection, SSLConnection):
    """A connection over TLS."""

    _has_flags = False


class UnixConnection(StoreConnection, UnixDomainSocketConnection):
    """A connection over a unix socket."""
