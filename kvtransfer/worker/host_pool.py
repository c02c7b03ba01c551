"""Cuts one arena of host memory into slots; the index knows which chunk is in which slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.device import Device

# Slots begin on pages, so that direct I/O and a device's copy engine may use them as they are.
_PAGE_BYTES = 4096


class HostPool:
    """``slots`` slots with room for one chunk each; the arena lives as long as any view of it.

    A slot belongs to one job at a time, which the pool does not check.
    """

    @staticmethod
    def nbytes(chunk: ChunkFormat, slots: int) -> int:
        """Return how many bytes of host memory a pool of ``slots`` takes."""
        return _stride_bytes(chunk) * slots

    def __init__(self, device: Device, chunk: ChunkFormat, slots: int) -> None:
        self._nbytes = chunk.nbytes
        self._stride_bytes = _stride_bytes(chunk)
        arena = device.host_memory(self.nbytes(chunk, slots))
        self._bytes = arena.numpy().data
        slotted = arena.view(slots, self._stride_bytes)[:, : chunk.nbytes]
        cells = slotted.view(getattr(torch, chunk.dtype))
        self._chunks: torch.Tensor = cells.view(slots, chunk.planes, *chunk.plane_shape)

    def payload(self, slot: int) -> memoryview:
        """Return the chunk's bytes in ``slot``, writable and without a copy."""
        start = slot * self._stride_bytes
        return self._bytes[start : start + self._nbytes]

    def chunk(self, slot: int) -> torch.Tensor:
        """Return the same memory as ``[planes, tokens, heads, dim]`` of the chunk's dtype."""
        return self._chunks[slot]


def _stride_bytes(chunk: ChunkFormat) -> int:
    return -(-chunk.nbytes // _PAGE_BYTES) * _PAGE_BYTES
