"""Replies straight into the caller's memory, on connections that redis-py opens and owns.

redis-py connects, authenticates, encrypts, retries and pools; its parser reads every small reply.
Only the bytes below the parser are ours: a :class:`ReadBuffer` on the socket. Private names of redis-py
8 are used here and nowhere else;
``tests/stores/redis/wire/test_connection.py`` fails when a release moves them.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kvtransfer.stores.redis.wire.batch import sent
from kvtransfer.stores.redis.wire.parser import ReplyParser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.stores.redis.wire.batch import Batch, Command

# From here on most of a call is waiting.
_FAR_S = 0.01


class StoreConnection:
    """Mixed into redis-py's connections."""

    parser_class: type[ReplyParser] = ReplyParser
    _parser: ReplyParser
    _socket_timeout: float | None
    deadline_s: float | None = None
    """When connecting has to be done, by ``time.monotonic``."""
    is_far: bool = False
    """Whether the server is, by what it took to connect and greet."""

    @property
    def parser(self) -> ReplyParser:
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
            return self.is_connected and not self._parser.read_buffer.can_read()  # type: ignore[attr-defined]
        except (ConnectionError, OSError):
            return False

    def send(self, commands: Sequence[Command], prefix: bytes = b"") -> None:
        """Send what is packed already, payloads from where they lie."""
        for part in sent(commands, prefix):
            self._parser.read_buffer.share_deadline()
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
                    self._parser.read_buffer.read_into(part)
                    self._parser.read_buffer.purge()
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
            self._parser.read_buffer.begin(deadline_s)
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

    def _greet(self) -> None:
        connection: Any = self
        if not connection.is_connected:
            began_s = time.monotonic()
            connection.connect()
            self.is_far = time.monotonic() - began_s > _FAR_S


class TCPConnection(StoreConnection, Connection):
    """TCP."""


class TLSConnection(StoreConnection, SSLConnection):
    """TLS."""


class UnixConnection(StoreConnection, UnixDomainSocketConnection):
    """Unix socket."""
