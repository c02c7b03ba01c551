"""Stores the planes of a chunk's bytes, those that shrink compressed: the codec ``lossless``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.stores.buffers import Buffers
from kvtransfer.stores.lossless.blocks import blocks_of, floats_in
from kvtransfer.stores.lossless.container import description, description_bytes, read_lengths
from kvtransfer.stores.lossless.planes import join, split_off
from kvtransfer.stores.lossless.zstd import compressed, decompressed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.stores.lossless.blocks import Block
    from kvtransfer.stores.lossless.zstd import Bytes


class Lossless:
    """Brings chunks back bit for bit, whatever numbers they hold; see ``Codec``.

    The bytes with the exponents take about three bits a number, and the others stay as they are:
    bfloat16 becomes 1.45 times shorter, float32 1.18 and float16 1.15 times. A chunk that doesn't
    become shorter has no such form, and is stored by another codec.
    """

    name = "lossless"

    def __init__(self) -> None:
        self._buffers = Buffers()

    def suits(self, form: ChunkFormat) -> bool:
        """See :class:`kvtransfer.stores.codec.Codec`; those with floating-point numbers do."""
        return floats_in(form)

    def may_have(self, nbytes: int, form: ChunkFormat) -> bool:
        """See :class:`kvtransfer.stores.codec.Codec`."""
        return nbytes < form.nbytes

    @contextmanager
    def encoded(self, chunk: memoryview, form: ChunkFormat) -> Iterator[memoryview | None]:
        """See :class:`kvtransfer.stores.codec.Codec`."""
        blocks = blocks_of(form)
        with self._buffers.taken(form.nbytes + description_bytes(blocks)) as buffer:
            nbytes = _encode(chunk, blocks, buffer)
            yield buffer[:nbytes] if self.may_have(nbytes, form) else None

    def decode(self, payload: memoryview, nbytes: int, form: ChunkFormat) -> bool:
        """See :class:`kvtransfer.stores.codec.Codec`."""
        if not self.may_have(nbytes, form):
            return False
        blocks = blocks_of(form)
        lengths = read_lengths(payload[:nbytes], blocks)
        return lengths is not None and _decode(payload, blocks, lengths)


def _encode(chunk: memoryview, blocks: tuple[Block, ...], buffer: memoryview) -> int:
    """Write the stored form of ``chunk`` into ``buffer``; return its bytes."""
    raw, stored = np.frombuffer(chunk, np.uint8), np.frombuffer(buffer, np.uint8)
    lengths: list[int] = []
    end = 0
    for block in blocks:
        for place in range(block.kind.width):
            plane = stored[end : end + block.elements]
            split_off(raw[block.begin : block.end], block.kind.width, place, plane)
            lengths.append(_shortened(plane, block))
            end += lengths[-1]
    about = description(blocks, lengths)
    buffer[end : end + len(about)] = about
    return end + len(about)


def _shortened(plane: Bytes, block: Block) -> int:
    """Replace ``plane`` by a frame of it where that is shorter; return the bytes of what it is."""
    frame = compressed(plane) if block.kind.code else None
    if frame is None:
        return plane.size
    plane[: len(frame)] = np.frombuffer(frame, np.uint8)
    return len(frame)


def _decode(payload: memoryview, blocks: tuple[Block, ...], lengths: list[int]) -> bool:
    """Replace the parts at the front of ``payload`` by the chunk.

    It begins with the last block: the parts of those before it end before it begins, as no part
    is longer than its plane. So none is overwritten before it has been read.
    """
    raw, left, end = np.frombuffer(payload, np.uint8), list(lengths), sum(lengths)
    for block in reversed(blocks):
        planes: list[Bytes] = []
        for _ in range(block.kind.width):
            part = raw[end - left[-1] : end]
            end -= left.pop()
            plane = (
                part.copy()
                if part.size == block.elements
                else decompressed(part.data, block.elements)
            )
            if plane is None:
                return False
            planes.insert(0, plane)
        join(planes, raw[block.begin : block.end])
    return True
