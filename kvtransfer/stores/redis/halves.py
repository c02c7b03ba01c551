"""What is said about one half of an entry: in a cluster they lie on different nodes.

Each function returns the replies as they came, a redirection among them where the key is elsewhere.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from redis.exceptions import AskError

from kvtransfer.stores.redis.sliced import SlicedRead
from kvtransfer.stores.redis.wire.connection import command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.stores.redis.sliced import Line, Replies
    from kvtransfer.stores.redis.wire.connection import Wire

_ASKING = command(b"ASKING")


class AskingLine:
    """``wire`` to a node that a slot is just moving to, which wants ASKING before each command."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @property
    def parser(self) -> Replies:
        """Takes the replies; see :class:`Line`."""
        return self

    @property
    def is_far(self) -> bool:
        """See :class:`Line`."""
        return self._wire.is_far

    def send(self, request: Sequence[bytes | memoryview]) -> None:
        """See :class:`Line`."""
        self._wire.send([_ASKING, *request])

    def send_commands(self, commands: Sequence[bytes]) -> None:
        """See :class:`Line`."""
        self._wire.send_commands([_ASKING + each for each in commands])

    def read_reply(self) -> object:
        """See :class:`Replies`."""
        self._wire.parser.read_reply()
        return self._wire.parser.read_reply()

    def read_value_into(self, target: memoryview) -> object:
        """See :class:`Replies`."""
        self._wire.parser.read_reply()
        return self._wire.parser.read_value_into(target)


def replies_to(commands: Sequence[bytes], line: Line) -> list[object]:
    """One reply for each command."""
    line.send_commands(commands)
    return [line.parser.read_reply() for _ in commands]


def read_payload(name: bytes, target: memoryview, ttl_s: int | None, line: Line) -> list[object]:
    """Its length, then for each slice of ``target`` True where it was filled."""
    head = [command(b"STRLEN", name), *life(name, ttl_s)]
    read = SlicedRead(name, target, line)
    read.begin(head)
    return [*[line.parser.read_reply() for _ in head][:1], *read.replies()]


def write_payload(name: bytes, payload: memoryview, ttl_s: int | None, line: Line) -> list[object]:
    """OK; ``payload`` is sent from where it lies."""
    options = [] if ttl_s is None else [b"EX", b"%d" % ttl_s]
    head = b"*%d\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n" % (
        3 + len(options),
        len(name),
        name,
        len(payload),
    )
    tail = b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in options])
    line.send([head, payload, b"\r\n" + tail])
    return [line.parser.read_reply()]


def write_record(
    name: bytes, fields: Mapping[str, str], ttl_s: int | None, line: Line
) -> list[object]:
    """The record, whatever was there, in one MULTI."""
    record = [part.encode() for part in chain.from_iterable(fields.items())]
    put = [command(b"UNLINK", name), command(b"HSET", name, *record), *life(name, ttl_s)]
    replies = replies_to([command(b"MULTI"), *put, command(b"EXEC")], line)
    done = replies[-1] if isinstance(replies[-1], list) else []
    return [*replies, *done]


def life(name: bytes, ttl_s: int | None) -> list[bytes]:
    """The command that gives ``name`` another ``ttl_s``; none without."""
    return [] if ttl_s is None else [command(b"EXPIRE", name, b"%d" % ttl_s)]


def redirection(replies: Sequence[object]) -> AskError | None:
    """The first among ``replies``; MOVED is one too."""
    return next((reply for reply in replies if isinstance(reply, AskError)), None)
