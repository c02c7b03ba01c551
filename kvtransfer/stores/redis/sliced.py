"""A long value in pieces over one connection, each asked for while others are on their way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kvtransfer.stores.redis.wire.connection import command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# A server on jemalloc gives the memory of a reply of 7 MiB and more back to the kernel each time,
# which costs it four times the CPU; so long payloads are asked for in slices, few at a time.
_SLICE_BYTES = 2 << 20
_SLICES_UNDER_WAY = 2
# One far away would send nothing most of the time, were it asked for two at a time.
_FAR_SLICES_UNDER_WAY = 16


class Replies(Protocol):
    """The part of a parser that is used here."""

    def read_reply(self) -> object:
        """See :class:`WireParser`."""
        ...

    def read_value_into(self, target: memoryview) -> object:
        """See :class:`WireParser`."""
        ...


class Line(Protocol):
    """The part of a connection that is used here."""

    @property
    def parser(self) -> Replies:
        """Takes the replies."""
        ...

    @property
    def is_far(self) -> bool:
        """See :class:`Wire`."""
        ...

    def send(self, request: Sequence[bytes | memoryview]) -> None:
        """Send one command, in pieces."""
        ...

    def send_commands(self, commands: Sequence[bytes]) -> None:
        """Send several commands."""
        ...


class SlicedRead:
    """Reads the value of ``name`` into ``target``; of the length of ``target``, or not at all."""

    def __init__(self, name: bytes, target: memoryview, line: Line) -> None:
        self._pieces = _pieces(name, target)
        self._line = line
        self._most = _FAR_SLICES_UNDER_WAY if line.is_far else _SLICES_UNDER_WAY

    def begin(self, head: Sequence[bytes]) -> None:
        """Send the commands ``head``, whose replies are for the caller to read, and ask."""
        self._line.send_commands([*head, *[ask for ask, _ in self._pieces[: self._most]]])

    def replies(self) -> Iterator[object]:
        """For each piece, True where it was filled."""
        for i, (_, part) in enumerate(self._pieces):
            yield self._line.parser.read_value_into(part)
            if i + self._most < len(self._pieces):
                self._line.send_commands([self._pieces[i + self._most][0]])


def _pieces(name: bytes, target: memoryview) -> list[tuple[bytes, memoryview]]:
    """The commands that ask for them, each with its place."""
    return [
        (
            command(b"GETRANGE", name, b"%d" % start, b"%d" % (start + _SLICE_BYTES - 1)),
            target[start : start + _SLICE_BYTES],
        )
        for start in range(0, len(target), _SLICE_BYTES)
    ]
