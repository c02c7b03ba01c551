"""Cuts one arena of host memory into slots; the index knows which chunk is in which slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.chunks.piece_view import piece_views

if TYPE_CHECKING:
    from torch import Tensor

    from kvtransfer.chunks.layout import Formats
    from kvtransfer.device import Device

# Slots begin on pages, so that direct I/O and a device's copy engine may use them as they are.
_PAGE_BYTES = 4096


class HostPool:
    """``slots`` slots with room for any one piece each; the arena lives as long as any view of it.

    A slot belongs to one job at a time, which the pool does not check.
    """

    @staticmethod
    def nbytes(formats: Formats, slots: int) -> int:
        """Return how many bytes of host memory a pool of ``slots`` takes."""
        return _stride_bytes(formats) * slots

    def __init__(self, device: Device, formats: Formats, slots: int) -> None:
        self._nbytes = [form.nbytes for form in formats.formats]
        self._shards = [form.shards for form in formats.formats]
        self._stride_bytes = _stride_bytes(formats)
        arena = device.host_memory(self.nbytes(formats, slots))
        self._bytes = arena.numpy().data
        slotted = arena.view(slots, self._stride_bytes)
        self._pieces = [piece_views(form, slotted) for form in formats.formats]

    def payload(self, slot: int, group: int = 0) -> memoryview:
        """Return the bytes of a piece of ``group`` in ``slot``, writable and without a copy."""
        start = slot * self._stride_bytes
        return self._bytes[start : start + self._nbytes[group]]

    def shards(self, slot: int, group: int = 0) -> list[memoryview]:
        """Return the same memory as the shards of a piece, which a store keeps one by one."""
        payload, count = self.payload(slot, group), self._shards[group]
        nbytes = len(payload) // count
        return [payload[start : start + nbytes] for start in range(0, count * nbytes, nbytes)]

    def sections(self, slot: int, group: int = 0) -> list[Tensor]:
        """Return the same memory as ``[planes, tokens, heads, dim]`` of each section of a piece."""
        return [section[slot] for section in self._pieces[group]]


def _stride_bytes(formats: Formats) -> int:
    return -(-formats.slot_bytes // _PAGE_BYTES) * _PAGE_BYTES
