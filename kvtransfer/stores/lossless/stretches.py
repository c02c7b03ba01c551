"""Cuts a chunk into stretches of one dtype, from which stripes are made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.chunks.layout import ChunkFormat

STRETCH_BYTES = 2 << 20
"""A reader needs about this much memory beside the chunk, which stays in a processor's cache. With
smaller ones there would be more calls, each of which waits for the interpreter's lock."""


@dataclass(frozen=True)
class Kind:
    """How the elements of a dtype are treated."""

    code: int
    """Stands for the dtype in stored forms."""
    width: int
    """Bytes of an element, each of which makes a stripe."""


FLOATS = {"float16": Kind(1, 2), "bfloat16": Kind(2, 2), "float32": Kind(3, 4)}
"""The dtypes that are made shorter."""
_OPAQUE = Kind(0, 1)
"""Any other: its bytes are one stripe, which stays as it is."""


@dataclass(frozen=True)
class Stretch:
    """Successive elements of a chunk."""

    kind: Kind
    begin: int
    """Where it begins in the chunk, in bytes."""
    elements: int

    @property
    def end(self) -> int:
        """Where it ends, in bytes."""
        return self.begin + self.elements * self.kind.width


@lru_cache(64)
def stretches_of(form: ChunkFormat) -> tuple[Stretch, ...]:
    """The stretches of a chunk of ``form``, in order and without gaps."""
    return tuple(_stretches(form))


def floats_in(form: ChunkFormat) -> bool:
    """Whether a chunk of ``form`` has a part that is made shorter."""
    return any(_kind(section) is not _OPAQUE for section in sections_of(form) if section.nbytes)


def sections_of(form: ChunkFormat) -> tuple[ChunkFormat, ...]:
    """The sections of ``form``, each of one dtype; itself where it has none."""
    return form.sections or (form,)


def _kind(section: ChunkFormat) -> Kind:
    return _OPAQUE if section.quantised else FLOATS.get(section.dtype, _OPAQUE)


def _stretches(form: ChunkFormat) -> Iterator[Stretch]:
    begin = 0
    for section in sections_of(form):
        kind = _kind(section)
        elements = section.nbytes // kind.width
        most = STRETCH_BYTES // kind.width
        for first in range(0, elements, most):
            yield Stretch(kind, begin + first * kind.width, min(most, elements - first))
        begin += section.nbytes
