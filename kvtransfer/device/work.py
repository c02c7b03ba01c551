"""Work for a stream, as callable data: a checker can see what memory each piece touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kvtransfer.device import Device
    from kvtransfer.kernels import BlockCopy, QuantisedCopy, RotatedScatter, TokenMove


@dataclass(frozen=True)
class Gather:
    """Copies blocks into a chunk, from its first token on."""

    copy: BlockCopy | QuantisedCopy
    block_ids: Sequence[int]
    """The kernel's numbers of the blocks, in token order."""
    chunk: Tensor
    """``[planes, tokens, heads, dim]``."""

    def __call__(self) -> None:
        self.copy.gather_blocks(self.block_ids, self.chunk)


@dataclass(frozen=True)
class Scatter:
    """Copies a chunk, from ``first_token`` on, into blocks."""

    copy: BlockCopy | QuantisedCopy
    chunk: Tensor
    block_ids: Sequence[int]
    first_token: int

    def __call__(self) -> None:
        self.copy.scatter_blocks(self.chunk, self.block_ids, self.first_token)


@dataclass(frozen=True)
class ScatterTokens:
    """Copies some tokens of a chunk into blocks, and rotates their keys on the way."""

    scatter: RotatedScatter
    chunk: Tensor
    token_move: TokenMove

    def __call__(self) -> None:
        self.scatter.scatter_tokens(self.chunk, self.token_move)


@dataclass(frozen=True)
class DecodedScatter:
    """Decodes a chunk whose numbers are quantised, and then does as :class:`ScatterTokens`."""

    decode: QuantisedCopy
    """From encoded chunks to the planes of ``scatter.chunk``, each of which is one block."""
    encoded: Tensor
    """``[bytes]``."""
    scatter: ScatterTokens

    def __call__(self) -> None:
        self.decode.scatter_blocks(self.encoded, [0])
        self.scatter()


@dataclass(frozen=True)
class Copy:
    """Copies bytes by the device's copy engine."""

    device: Device
    pairs: Sequence[tuple[Tensor, Tensor]]
    """``(target, source)`` each, both contiguous and of one shape and dtype."""

    def __call__(self) -> None:
        self.device.copy(self.pairs)
