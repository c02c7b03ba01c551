"""Stores the stripes of a chunk's bytes, those that shrink compressed: the codec ``lossless``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.stores.buffers import Buffers
from kvtransfer.stores.lossless.container import description, description_bytes, read_lengths
from kvtransfer.stores.lossless.stretches import floats_in, stretches_of
from kvtransfer.stores.lossless.stripes import join, split_off
from kvtransfer.stores.lossless.zstd import compressed, decompressed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.stores.lossless.stretches import Stretch
    from kvtransfer.stores.lossless.zstd import Bytes


class Lossless:
    """Brings chunks back bit for bit, whatever numbers they hold; see ``Codec``.

    The bytes with the exponents take about three bits a number, and the others stay as they are:
    ``docs/lossless.md`` has ratios. A chunk that doesn't become shorter has no such form, and is stored
    by another codec.
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
        stretches = stretches_of(form)
        with self._buffers.taken(form.nbytes + description_bytes(stretches)) as buffer:
            nbytes = _encode(chunk, stretches, buffer)
            yield buffer[:nbytes] if self.may_have(nbytes, form) else None

    def decode(self, payload: memoryview, nbytes: int, form: ChunkFormat) -> bool:
        """See :class:`kvtransfer.stores.codec.Codec`."""
        if not self.may_have(nbytes, form):
            return False
        stretches = stretches_of(form)
        lengths = read_lengths(payload[:nbytes], stretches)
        return lengths is not None and _decode(payload, stretches, lengths)


def _encode(chunk: memoryview, stretches: tuple[Stretch, ...], buffer: memoryview) -> int:
    """Write the stored form of ``chunk`` into ``buffer``; return its bytes."""
    raw, stored = np.frombuffer(chunk, np.uint8), np.frombuffer(buffer, np.uint8)
    lengths: list[int] = []
    end = 0
    for stretch in stretches:
        for place in range(stretch.kind.width):
            stripe = stored[end : end + stretch.elements]
            split_off(raw[stretch.begin : stretch.end], stretch.kind.width, place, stripe)
            lengths.append(_shortened(stripe, stretch))
            end += lengths[-1]
    about = description(stretches, lengths)
    buffer[end : end + len(about)] = about
    return end + len(about)


def _shortened(stripe: Bytes, stretch: Stretch) -> int:
    """Replace ``stripe`` by a frame of it where that is shorter; return the bytes of what it is."""
    frame = compressed(stripe) if stretch.kind.code else None
    if frame is None:
        return stripe.size
    stripe[: len(frame)] = np.frombuffer(frame, np.uint8)
    return len(frame)


def _decode(payload: memoryview, stretches: tuple[Stretch, ...], lengths: list[int]) -> bool:
    """Replace the parts at the front of ``payload`` by the chunk.

    It begins with the last stretch: the parts of those before it end before it begins, as no part
    is longer than its stripe. So none is overwritten before it has been read.
    """
    raw, left, end = np.frombuffer(payload, np.uint8), list(lengths), sum(lengths)
    for stretch in reversed(stretches):
        stripes: list[Bytes] = []
        for _ in range(stretch.kind.width):
            begin = end - left.pop()
            stripe = _stripe(raw[begin:end], stretch)
            if stripe is None:
                return False
            stripes.insert(0, stripe)
            end = begin
        join(stripes, raw[stretch.begin : stretch.end])
    return True


def _stripe(part: Bytes, stretch: Stretch) -> Bytes | None:
    """What ``part`` holds, in memory of its own; None where it isn't a stripe of ``stretch``."""
    is_stripe = part.size == stretch.elements
    return part.copy() if is_stripe else decompressed(part.data, stretch.elements)
