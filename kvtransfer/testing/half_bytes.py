"""A codec for tests, which stores half of each byte."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from kvtransfer.chunks.layout import ChunkFormat


class HalfBytes:
    """Stores the upper halves of two bytes as one, and loses the lower ones.

    The stored form is half as long as a chunk, which must have an even length.
    """

    name = "half"

    def suits(self, form: ChunkFormat) -> bool:
        return form.nbytes % 2 == 0

    def may_have(self, nbytes: int, form: ChunkFormat) -> bool:
        return 2 * nbytes == form.nbytes

    def encoded(
        self, chunk: memoryview, form: ChunkFormat
    ) -> AbstractContextManager[memoryview | None]:
        pairs = zip(chunk[::2], chunk[1::2], strict=True)
        return nullcontext(memoryview(bytes(a & 0xF0 | b >> 4 for a, b in pairs)))

    def decode(self, payload: memoryview, nbytes: int, form: ChunkFormat) -> bool:
        if 2 * nbytes != len(payload):
            return False
        stored = bytes(payload[:nbytes])
        payload[::2] = bytes(each & 0xF0 for each in stored)
        payload[1::2] = bytes((each & 0x0F) << 4 for each in stored)
        return True
