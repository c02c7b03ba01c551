"""Translates the bytes of a chunk to those that a store holds, and back."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from kvtransfer.chunks.layout import ChunkFormat


class Codec(Protocol):
    """One way to write chunks in a store; safe to call from several threads."""

    @property
    def name(self) -> str:
        """The name of the codec, which records hold as their ``format``."""
        ...

    def suits(self, form: ChunkFormat) -> bool:
        """Whether chunks of ``form`` may have a stored form."""
        ...

    def may_have(self, nbytes: int, form: ChunkFormat) -> bool:
        """Whether the stored form of a chunk of ``form``, which suits, may have ``nbytes``."""
        ...

    def encoded(
        self, chunk: memoryview, form: ChunkFormat
    ) -> AbstractContextManager[memoryview | None]:
        """Make the stored form of ``chunk``, which is valid inside the context.

        None means that this chunk has none, since it would not be shorter. The form may be
        ``chunk`` itself, or use its memory.

        Args:
            chunk: flat bytes, only read.
            form: what they are; it suits.
        """
        ...

    def decode(self, payload: memoryview, nbytes: int, form: ChunkFormat) -> bool:
        """Replace the stored form in ``payload[:nbytes]`` by the chunk, which fills ``payload``.

        False means that these bytes are not the stored form of a chunk of ``form``; ``payload`` is
        undefined then. They may be anything: a store has verified them, but their writer had our
        key only where seals use one. ``form`` suits.
        """
        ...


class Naive:
    """Stores chunks as they are."""

    name = "naive"

    def suits(self, form: ChunkFormat) -> bool:
        """See :class:`Codec`; any does."""
        return True

    def may_have(self, nbytes: int, form: ChunkFormat) -> bool:
        """See :class:`Codec`."""
        return nbytes == form.nbytes

    def encoded(
        self, chunk: memoryview, form: ChunkFormat
    ) -> AbstractContextManager[memoryview | None]:
        """See :class:`Codec`."""
        return nullcontext(chunk)

    def decode(self, payload: memoryview, nbytes: int, form: ChunkFormat) -> bool:
        """See :class:`Codec`."""
        return nbytes == len(payload)


NAIVE = Naive()
