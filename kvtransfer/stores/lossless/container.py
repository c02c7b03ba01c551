"""Writes and reads what stands behind the parts of a stored form, and says what they are.

A stored form is its parts, one for each stripe of each stretch in order, then a table, then a head:

- a part is a stripe as it is, or one frame that holds it, which is shorter;
- the table has three numbers for each part: code of the dtype, elements, length of the part;
- the head has a magic, the version, the number of the codec, two zero bytes, the number of parts
  and the length of the chunk.

All numbers are little-endian, of 32 bits where nothing else is said. Table and head stand behind
the parts so that the parts of the first stretches end no later than these stretches do in the chunk:
a reader decodes from the last stretch on, in the memory in which the stored form lies.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.stores.lossless.stretches import Stretch

_HEAD = struct.Struct("<4sBBHIQ")
_MAGIC = b"KVTL"
_VERSION = 1
_STRIPES_BY_ZSTD = 1
_NUMBER = np.dtype("<u4")


def description_bytes(stretches: Sequence[Stretch]) -> int:
    """Bytes of the table and the head of a chunk of ``stretches``."""
    return _HEAD.size + 3 * _NUMBER.itemsize * sum(stretch.kind.width for stretch in stretches)


def description(stretches: Sequence[Stretch], lengths: Sequence[int]) -> bytes:
    """Write table and head.

    Args:
        stretches: of the chunk.
        lengths: the bytes of each part.
    """
    table = np.column_stack([_expected(stretches), np.array(lengths, _NUMBER)])
    return table.astype(_NUMBER).tobytes() + _head(stretches)


def read_lengths(stored: memoryview, stretches: Sequence[Stretch]) -> list[int] | None:
    """Read the lengths of the parts in ``stored``, which may be anything.

    None unless everything is as a chunk of ``stretches`` needs it: no part is longer than its stripe,
    and parts and description fill ``stored``. Nothing is allocated by what ``stored`` says.
    """
    about = description_bytes(stretches)
    head, expected = _head(stretches), _expected(stretches)
    if len(stored) < about or stored[-len(head) :] != head:
        return None
    numbers = np.frombuffer(stored[-about : -len(head)], _NUMBER).reshape(-1, 3)
    lengths = numbers[:, 2]
    is_so = (
        np.array_equal(numbers[:, :2], expected)
        and bool(((lengths > 0) & (lengths <= expected[:, 1])).all())
        and int(lengths.sum(dtype=np.uint64)) == len(stored) - about
    )
    return lengths.tolist() if is_so else None


def _head(stretches: Sequence[Stretch]) -> bytes:
    parts = sum(stretch.kind.width for stretch in stretches)
    return _HEAD.pack(_MAGIC, _VERSION, _STRIPES_BY_ZSTD, 0, parts, stretches[-1].end)


def _expected(stretches: Sequence[Stretch]) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    rows = [
        (stretch.kind.code, stretch.elements)
        for stretch in stretches
        for _ in range(stretch.kind.width)
    ]
    return np.array(rows, _NUMBER).reshape(-1, 2)
