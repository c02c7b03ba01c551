"""A long value in slices over one connection, each asked for while others are on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.stores.redis.wire.batch import command

if TYPE_CHECKING:
    from collections.abc import Iterator

# A server on jemalloc gives the memory of a reply of 7 MiB and more back to the kernel each time,
# which costs it four times the CPU; so long payloads are asked for in slices, few at a time.
_SLICE_BYTES = 2 << 20
_SLICES_UNDER_WAY = 2
# One far away would send nothing most of the time, were it asked for two at a time.
_FAR_SLICES_UNDER_WAY = 16


@dataclass(frozen=True)
class SlicedValue:
    """The value of ``name``, however long it is, to be read into the front of ``buffer``."""

    name: bytes
    buffer: memoryview
    length_at: int
    """Which of the replies before it is its length."""

    def reading(self, *, is_far: bool) -> SlicedRead:
        """Begin to read it from a server near by or far away."""
        most = _FAR_SLICES_UNDER_WAY if is_far else _SLICES_UNDER_WAY
        return SlicedRead(self, min(most, _slices(len(self.buffer))))


class SlicedRead:
    """Plans one reading; pure. ``asked`` slices are asked for before the length is known."""

    def __init__(self, value: SlicedValue, asked: int) -> None:
        self._value = value
        self._asked = asked
        self._stored_bytes = 0
        self.first = [self._ask(i) for i in range(asked)]
        """The commands that begin it."""

    def parts(self, length: object) -> Iterator[memoryview]:
        """Yield the place of each slice that was asked for, in the order of their replies.

        ``length`` is what STRLEN has answered. A value that doesn't fit in the buffer gets no
        place there: what was asked for of it is read away.
        """
        if isinstance(length, int) and 0 <= length <= len(self._value.buffer):
            self._stored_bytes = length
        stored = self._value.buffer[: self._stored_bytes]
        at = 0
        while at < self._asked:
            yield stored[at * _SLICE_BYTES : (at + 1) * _SLICE_BYTES]
            at += 1

    def next_ask(self) -> list[bytes]:
        """The command that asks for one slice more; none where all are asked for."""
        if self._asked >= _slices(self._stored_bytes):
            return []
        self._asked += 1
        return [self._ask(self._asked - 1)]

    def _ask(self, at: int) -> bytes:
        start = at * _SLICE_BYTES
        last = start + _SLICE_BYTES - 1
        return command(b"GETRANGE", self._value.name, b"%d" % start, b"%d" % last)


def _slices(nbytes: int) -> int:
    return -(-nbytes // _SLICE_BYTES)
