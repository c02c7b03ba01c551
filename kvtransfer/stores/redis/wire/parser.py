"""Parses replies on a read buffer, with redis-py's own parser and within limits.

Private names of redis-py 8 are used in this file and in ``connection.py`` alone;
``tests/stores/redis/wire/test_connection.py`` fails when a release moves them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from redis._parsers.resp3 import _RESP3Parser
from redis.exceptions import ConnectionError, InvalidResponse, RedisError

from kvtransfer.stores.redis.wire.limits import ABOUT_ENTRIES, OversizedReplyError
from kvtransfer.stores.redis.wire.read_buffer import ReadBuffer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.stores.redis.wire.limits import ReplyLimits

# Pushes in a row; we never ask for any.
_MOST_PUSHES = 64


class WrongLengthError(RedisError):
    """A value is longer or shorter than the memory that it should fill."""


class ReplyParser(_RESP3Parser):
    """redis-py's own parser, for RESP2 and RESP3, on a :class:`ReadBuffer` and within ``limits``."""

    limits = ABOUT_ENTRIES
    read_buffer: ReadBuffer
    """The buffer of the open connection."""
    _elements = 0
    _depth = 0

    def on_connect(self, connection: Any) -> None:  # noqa: ANN401 - any kind of redis-py's
        """See redis-py."""
        self._sock = connection._sock
        self._buffer = self.read_buffer = ReadBuffer(connection._sock, connection.socket_timeout)
        if connection.deadline_s is not None:
            self.read_buffer.begin(connection.deadline_s)
        self.encoder = connection.encoder

    def read_response(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """See redis-py; a garbled reply raises InvalidResponse.

        Raises:
            OversizedReplyError: the reply exceeds ``limits``.
        """
        self.read_buffer.allow(self.limits.total_bytes)
        self._elements = self._depth = 0
        try:
            return super().read_response(*arguments, **options)
        except (RedisError, OSError):
            raise
        except Exception as error:
            raise InvalidResponse("a reply makes no sense") from error

    def _read_response(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """Read the next value, which may be a part of another one."""
        self._elements += 1
        if self._elements > self.limits.elements or self._depth > self.limits.depth:
            raise OversizedReplyError("a reply has too many parts")
        self._depth += 1
        value = super()._read_response(*arguments, **options)
        self._depth -= 1
        return value

    def read_reply(self) -> object:
        """Read one small reply, text as bytes; an error is returned, not raised."""
        if (found := self.read_buffer.read_strings()) is not None:
            strings = found.strings
            return dict(zip(strings[::2], strings[1::2], strict=True)) if found.is_map else strings
        return self.read_response(disable_decoding=True)

    @contextmanager
    def limited(self, limits: ReplyLimits) -> Iterator[None]:
        """Let each reply that the body reads be as long as ``limits`` say."""
        before, self.limits = self.limits, limits
        try:
            yield
        finally:
            self.limits = before

    def read_counts(self, count: int) -> list[int]:
        """Read ``count`` replies, which have to be integers.

        Raises:
            RedisError: a reply isn't an integer.
        """
        digits = self.read_buffer.read_digits(count)
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
            True where the string comes next, for ``read_buffer.read_into``; False for a null; the
            server's error; ``WrongLengthError`` for a value of another length, which was dropped.

        Raises:
            RedisError: the reply makes no sense, or exceeds the limits.
        """
        self._skip_pushes()
        self.read_buffer.allow(self.limits.total_bytes)
        if self.read_buffer.peek() != ord("$"):
            reply = self.read_response(disable_decoding=True)
            if reply is None or isinstance(reply, RedisError):
                return reply or False
            raise ConnectionError(f"expected a value, got {type(reply).__name__}")
        length = _length(self.read_buffer.readline())
        if length == nbytes:
            return True
        if length >= 0:
            self.read_buffer.skip(length)
        self.read_buffer.purge()
        return length != -1 and WrongLengthError(f"a value of {length} bytes instead of {nbytes}")

    def _skip_pushes(self) -> None:
        """Read and drop pushes, which answer no command."""
        for _ in range(_MOST_PUSHES):
            if self.read_buffer.peek() != ord(">"):
                return
            self.read_response(push_request=True)
        raise OversizedReplyError("pushes instead of a reply")


def _length(line: bytes) -> int:
    """Read the length in ``line``, the first of a string."""
    try:
        return int(line[1:])
    except ValueError as error:
        raise InvalidResponse(f"a value of {line[1:]!r} bytes") from error
