"""A codec for tests, which stores half of each byte."""

from __future__ import annotations


class HalfBytes:
    """Stores the upper halves of two bytes as one, and loses the lower ones.

    The stored form is half as long as a chunk, which must have an even length.
    """

    name = "half"

    def stored_bytes(self, chunk_bytes: int) -> None:
        return None

    def encode(self, payload: memoryview) -> memoryview:
        pairs = zip(payload[::2], payload[1::2], strict=True)
        return memoryview(bytes(a & 0xF0 | b >> 4 for a, b in pairs))

    def decode(self, payload: memoryview, nbytes: int) -> bool:
        if 2 * nbytes != len(payload):
            return False
        stored = bytes(payload[:nbytes])
        payload[::2] = bytes(each & 0xF0 for each in stored)
        payload[1::2] = bytes((each & 0x0F) << 4 for each in stored)
        return True
