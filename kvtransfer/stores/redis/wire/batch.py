"""Defines batches: packed commands that a connection executes at once, and reading their replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from kvtransfer.stores.redis.wire.limits import WITH_PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kvtransfer.stores.redis.wire.parser import ReplyParser
    from kvtransfer.stores.redis.wire.sliced import SlicedValue

Piece = bytes | memoryview
Part: TypeAlias = "Piece | Callable[[], Iterable[Piece]]"
"""What is called makes each piece when all before it has been sent, again each time it is sent."""
Command: TypeAlias = "bytes | tuple[Part, ...]"
"""One command as the protocol writes it; in parts where a payload is sent without a copy."""


def command(*arguments: bytes) -> bytes:
    """Pack ``arguments`` as a command of the protocol."""
    parts = [b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in arguments]
    return b"*%d\r\n%b" % (len(arguments), b"".join(parts))


_ASKING = command(b"ASKING")


@dataclass(frozen=True)
class Batch:
    """Commands that are sent together and then answered in order."""

    commands: Sequence[Command]
    value: SlicedValue | None = None
    """A long value, read after the replies to ``commands``."""

    @property
    def prefix(self) -> bytes:
        """The packed command that is sent before each command, with a reply of its own."""
        return b""

    def has_failed(self, replies: Sequence[object]) -> bool:
        """Whether one of ``replies`` is an error."""
        return any(isinstance(reply, Exception) for reply in replies)

    def read_replies(self, parser: ReplyParser) -> list[object]:
        """Read one reply to each command; errors are returned, not raised."""
        return [parser.read_reply() for _ in self.commands]

    def skip_prefix(self, parser: ReplyParser) -> None:
        """Read and drop the reply to one prefix."""


class CountBatch(Batch):
    """Commands whose replies are small numbers, which are read all at once."""

    def read_replies(self, parser: ReplyParser) -> list[object]:
        """Read one number for each command.

        Raises:
            RedisError: a reply isn't a number.
        """
        return [*parser.read_counts(len(self.commands))]

    def has_failed(self, replies: Sequence[object]) -> bool:
        """See :class:`Batch`; an error isn't a number."""
        return False


class StreamBatch(Batch):
    """Commands whose replies hold several payloads."""

    def read_replies(self, parser: ReplyParser) -> list[object]:
        """See :class:`Batch`; each reply may be as long as ``WITH_PAYLOADS`` says."""
        with parser.limited(WITH_PAYLOADS):
            return super().read_replies(parser)


class AskingBatch(Batch):
    """Commands for a node to which a hash slot is moving: it needs ASKING before each."""

    @property
    def prefix(self) -> bytes:
        """See :class:`Batch`."""
        return _ASKING

    def read_replies(self, parser: ReplyParser) -> list[object]:
        """See :class:`Batch`."""
        return [parser.read_reply() for _ in self.commands for _ in (0, 1)][1::2]

    def skip_prefix(self, parser: ReplyParser) -> None:
        """See :class:`Batch`."""
        parser.read_reply()


def sent(commands: Sequence[Command], prefix: bytes) -> Iterator[tuple[Piece, bool]]:
    """Yield the pieces to send, and whether another follows; bytes between payloads are one piece."""
    if not prefix and all(type(each) is bytes for each in commands):
        yield b"".join(commands), False  # type: ignore[arg-type]  # hundreds, in a lookup
        return
    small: list[bytes] = []
    for each in commands:
        small.append(prefix)
        for piece in (each,) if isinstance(each, bytes) else _pieces(each):
            if isinstance(piece, bytes):
                small.append(piece)
                continue
            if any(small):
                yield b"".join(small), True
            yield piece, True  # each payload has a line end behind it
            small = []
    yield b"".join(small), False


def _pieces(parts: Iterable[Part]) -> Iterator[Piece]:
    for part in parts:
        if callable(part):
            yield from part()
        else:
            yield part
