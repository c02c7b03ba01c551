"""Plans how a long value is read in slices, each asked for while others are on their way. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.stores.redis.wire.batch import command
from kvtransfer.stores.redis.wire.read_buffer import ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kvtransfer.stores.redis.wire.read_buffer import Take

# A server on jemalloc returns the memory of a reply of 7 MiB and more to the kernel each time, which
# costs it four times the CPU.
_SLICE_BYTES = 2 << 20
_SLICES_UNDER_WAY = 2
# With two at a time, a server far away would send nothing most of the time.
_FAR_SLICES_UNDER_WAY = 16


@dataclass(frozen=True)
class SlicedValue:
    """A value of unknown length under ``name``, to be read into the front of ``buffer``."""

    name: bytes
    buffer: memoryview
    length_at: int
    """The index, among the replies before the value, of its length."""
    begin: Callable[[Sequence[object]], Take] = lambda _: ignore
    """Is called with the replies before the value, each time that it is read; returns what takes it."""

    def reading(self, *, is_far: bool) -> SlicedRead:
        """Plan reading it from a server that is near or far away."""
        most = _FAR_SLICES_UNDER_WAY if is_far else _SLICES_UNDER_WAY
        return SlicedRead(self, min(most, _slices(len(self.buffer))))

    def filled_bytes(self, replies: Sequence[object]) -> int:
        """Return how much of the buffer was filled, by ``replies`` to all of the batch."""
        length = replies[self.length_at]
        return length if isinstance(length, int) and replies[-1] is True else 0


class SlicedRead:
    """Plans one reading of ``value``; ``asked`` slices are asked for before its length is known."""

    def __init__(self, value: SlicedValue, asked: int) -> None:
        self._value = value
        self._asked = asked
        self._stored_bytes = 0
        self.first = [self._ask(i) for i in range(asked)]
        """The commands that begin the reading."""

    def parts(self, length: object) -> Iterator[memoryview]:
        """Yield the part of the buffer for each slice that was asked for, in order.

        ``length`` is the reply to STRLEN. A value that doesn't fit in the buffer gets empty parts.
        """
        if isinstance(length, int) and 0 <= length <= len(self._value.buffer):
            self._stored_bytes = length
        stored = self._value.buffer[: self._stored_bytes]
        at = 0
        while at < self._asked:
            yield stored[at * _SLICE_BYTES : (at + 1) * _SLICE_BYTES]
            at += 1

    def next_ask(self) -> list[bytes]:
        """Return the command that asks for one slice more; none where all are asked for."""
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
