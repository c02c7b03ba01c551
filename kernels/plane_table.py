"""Planes as a kernel sees them: addresses, and strides in the widest unit that divides them all."""

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
    """Where planes ``[blocks, block_tokens, heads, dim]`` lie, which must outlive this."""

    addresses: Tensor
    """``[planes]`` int64, on the planes' device."""
    unit_bytes: int
    """What a lane of the kernel moves at once: 16, or as much as divides every stride and run."""
    block_units: int
    token_units: int
    head_units: int
    """Strides."""
    block_bytes: int
    row_bytes: int
    run_bytes: int
    """Of one block of one plane; of one token of it; of what is contiguous in memory."""

    @classmethod
    def of(cls, planes: Sequence[Tensor]) -> PlaneTable:
        """The table of ``planes``, which are alike in shape, dtype and strides.

        Raises:
            ValueError: they aren't, or the elements of a head are not contiguous.
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

    def moves(
        self, block_ids: Sequence[int], chunk: Tensor, first_token: int
    ) -> list[tuple[int, int]]:
        """Each block, and the address in plane 0 of ``chunk`` where its first token belongs.

        Raises:
            ValueError: ``chunk`` begins between two units.
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
