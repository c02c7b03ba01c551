"""Writes and reads what stands behind the parts of a stored form, and says what they are.

A stored form is its parts, one for each plane of each block in order, then a table, then a head:

- a part is a plane as it is, or one frame that holds it, which is shorter;
- the table has three numbers for each part: code of the dtype, elements, length of the part;
- the head has a magic, the version, the number of the codec, two zero bytes, the number of parts
  and the length of the chunk.

All numbers are little-endian, of 32 bits where nothing else is said. Table and head stand behind
the parts so that the parts of the first blocks end before the place of these blocks in the chunk:
a reader decodes from the last block on, in the memory in which the stored form lies.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.stores.lossless.blocks import Block

_HEAD = struct.Struct("<4sBBHIQ")
_MAGIC = b"KVTL"
_VERSION = 1
_PLANES_BY_ZSTD = 1
_NUMBER = np.dtype("<u4")


def description_bytes(blocks: Sequence[Block]) -> int:
    """Bytes of the table and the head of a chunk of ``blocks``."""
    return _HEAD.size + 3 * _NUMBER.itemsize * sum(block.kind.width for block in blocks)


def description(blocks: Sequence[Block], lengths: Sequence[int]) -> bytes:
    """Write table and head.

    Args:
        blocks: of the chunk.
        lengths: the bytes of each part.
    """
    table = np.column_stack([_expected(blocks), np.array(lengths, _NUMBER)])
    return table.astype(_NUMBER).tobytes() + _head(blocks)


def read_lengths(stored: memoryview, blocks: Sequence[Block]) -> list[int] | None:
    """Read the lengths of the parts in ``stored``, which may be anything.

    None unless everything is as a chunk of ``blocks`` needs it: no part is longer than its plane,
    and parts and description fill ``stored``. Nothing is allocated by what ``stored`` says.
    """
    about = description_bytes(blocks)
    head, expected = _head(blocks), _expected(blocks)
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


def _head(blocks: Sequence[Block]) -> bytes:
    parts = sum(block.kind.width for block in blocks)
    return _HEAD.pack(_MAGIC, _VERSION, _PLANES_BY_ZSTD, 0, parts, blocks[-1].end)


def _expected(blocks: Sequence[Block]) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    rows = [(block.kind.code, block.elements) for block in blocks for _ in range(block.kind.width)]
    return np.array(rows, _NUMBER).reshape(-1, 2)
