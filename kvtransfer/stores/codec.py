"""Translates the bytes of a chunk to those that a store holds, and back."""

from __future__ import annotations

from typing import Protocol


class Codec(Protocol):
    """One way to write chunks in a store; safe to call from several threads."""

    @property
    def name(self) -> str:
        """The name of the codec, which records hold as their ``format``."""
        ...

    def stored_bytes(self, chunk_bytes: int) -> int | None:
        """Return the length of the stored form of a chunk; None where it depends on the content."""
        ...

    def encode(self, payload: memoryview) -> memoryview:
        """Return the stored form of ``payload``, one chunk; it may be ``payload`` itself.

        It may use the memory of ``payload``, so it is valid as long as that doesn't change.
        """
        ...

    def decode(self, payload: memoryview, nbytes: int) -> bool:
        """Replace the stored form in ``payload[:nbytes]`` by the chunk, which fills ``payload``.

        False means that these bytes are not the stored form of a chunk of this length. A store has
        verified them, so their writer had our key where seals use one.
        """
        ...


class Naive:
    """Stores chunks as they are."""

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
