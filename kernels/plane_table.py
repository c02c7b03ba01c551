"""Planes as the kernel sees them: their addresses, and strides in the widest common unit."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

import torch

from .reference import check_alike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_WIDEST_BYTES = 16


@dataclass(frozen=True)
class PlaneTable:
    """Where planes ``[blocks, block_tokens, heads, dim]`` lie; they must outlive the table."""

    addresses: Tensor
    """``[planes]`` int64, on the planes' device."""
    unit_bytes: int
    """Bytes that a thread of the kernel moves at once: the largest power of two up to 16 that
    divides every address, stride and run."""
    block_units: int
    token_units: int
    head_units: int
    """Strides from one block, token or head to the next, in units; 0 within a contiguous run."""
    block_bytes: int
    """Bytes of one block of one plane."""
    row_bytes: int
    """Bytes of one token of one plane."""
    run_bytes: int
    """Bytes that are contiguous in a plane: a head, a token or a whole block."""

    @classmethod
    def of(cls, planes: Sequence[Tensor]) -> PlaneTable:
        """Return the table of ``planes``.

        Raises:
            ValueError: they differ in shape, dtype or strides, or the elements of a head are not
                contiguous.
        """
        check_alike(planes)
        size, strides = planes[0].element_size(), planes[0].stride()
        _check_strides(planes)
        block_tokens, heads, dim = planes[0].shape[1:]
        row_bytes = heads * dim * size
        block, token, head = (stride * size for stride in strides[:3])
        run_bytes = dim * size
        if heads == 1 or head == run_bytes:
            run_bytes, head = row_bytes, 0
            if block_tokens == 1 or token == row_bytes:
                run_bytes, token = row_bytes * block_tokens, 0
        addresses = [plane.data_ptr() for plane in planes]
        unit = gcd(_WIDEST_BYTES, run_bytes, row_bytes, block, token, head, *addresses)
        return cls(
            addresses=torch.tensor(addresses, dtype=torch.int64, device=planes[0].device),
            unit_bytes=unit,
            block_units=block // unit,
            token_units=token // unit,
            head_units=head // unit,
            block_bytes=row_bytes * block_tokens,
            row_bytes=row_bytes,
            run_bytes=run_bytes,
        )

    def head_unit_bytes(self, plane: Tensor) -> int:
        """Return the largest power of two up to 16 that divides where every head begins.

        Args:
            plane: one of the planes.
        """
        size = plane.element_size()
        heads = (stride * size for stride in (*plane.stride()[:3], plane.shape[3]))
        return gcd(self.unit_bytes, *heads)

    def moves(
        self, block_ids: Sequence[int], chunk: Tensor, first_token: int
    ) -> list[tuple[int, int]]:
        """Pair each block with the address of its first token in plane 0 of ``chunk``.

        Raises:
            ValueError: ``chunk`` is not aligned to ``unit_bytes``.
        """
        if chunk.data_ptr() % self.unit_bytes:
            raise ValueError(
                f"chunk at {chunk.data_ptr():#x} is not aligned to {self.unit_bytes} bytes"
            )
        start = chunk.data_ptr() + first_token * self.row_bytes
        return [(block, start + i * self.block_bytes) for i, block in enumerate(block_ids)]


def _check_strides(planes: Sequence[Tensor]) -> None:
    for i, plane in enumerate(planes):
        if plane.stride() != planes[0].stride():
            raise ValueError(
                f"planes[{i}] has strides {list(plane.stride())}, "
                f"planes[0] {list(planes[0].stride())}; they must be alike"
            )
    if planes[0].shape[3] > 1 and planes[0].stride(3) != 1:
        raise ValueError(f"elements of a head are {planes[0].stride(3)} apart; they must touch")
