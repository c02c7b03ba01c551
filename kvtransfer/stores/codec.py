"""How the bytes of a chunk become those that a store holds, and back."""

from __future__ import annotations

from typing import Protocol


class Codec(Protocol):
    """One way to write chunks; records name it."""

    @property
    def name(self) -> str:
        """The ``format`` of a record."""
        ...

    def stored_bytes(self, chunk_bytes: int) -> int | None:
        """Return the length of a chunk's stored form, None where it depends on the content."""
        ...

    def encode(self, payload: memoryview) -> memoryview:
        """Return the stored form of ``payload``, one chunk; it may be ``payload`` itself."""
        ...

    def decode(self, payload: memoryview, nbytes: int) -> bool:
        """Replace the stored form in ``payload[:nbytes]`` by the chunk, all of ``payload``.

        False means that these bytes are not the stored form of a chunk of this length. They are
        what a store has verified, so what encoded them had our key where seals use one.
        """
        ...


class Naive:
    """Chunks are stored as they are."""

    name = "naive"

    def stored_bytes(self, chunk_bytes: int) -> int:
        """See :class:`Codec`."""
        return chunk_bytes

    def encode(self, payload: memoryview) -> memoryview:
        """See :class:`Codec`."""
        return payload

    def decode(self, payload: memoryview, nbytes: int) -> bool:
        """See :class:`Codec`."""
        return nbytes == len(payload)


NAIVE = Naive()
