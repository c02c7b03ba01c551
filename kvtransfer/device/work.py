"""What a stream is given to do: plain data that can be called, so that a checker can look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kvtransfer.device import Device
    from kvtransfer.kernels import BlockCopy


@dataclass(frozen=True)
class Gather:
    """Blocks into a chunk."""

    copy: BlockCopy
    block_ids: Sequence[int]
    """The kernel's."""
    chunk: Tensor
    """``[planes, tokens, heads, dim]``."""

    def __call__(self) -> None:
        self.copy.gather_blocks(self.block_ids, self.chunk)


@dataclass(frozen=True)
class Scatter:
    """A chunk, from ``first_token`` on, into blocks."""

    copy: BlockCopy
    chunk: Tensor
    block_ids: Sequence[int]
    first_token: int

    def __call__(self) -> None:
        self.copy.scatter_blocks(self.chunk, self.block_ids, self.first_token)


@dataclass(frozen=True)
class Copy:
    """Bytes by the device's copy engine."""

    device: Device
    pairs: Sequence[tuple[Tensor, Tensor]]
    """``(target, source)``, contiguous and alike."""

    def __call__(self) -> None:
        self.device.copy(self.pairs)
