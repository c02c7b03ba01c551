"""Views of the parts of an encoded chunk, and the checks of what is encoded and decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .reference import check_alike, check_blocks, check_distinct, plane_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .quantised_layout import Part, PlaneParts, QuantisedLayout

# The bits of a decoded number that is none, by dtype: conversions leave them to the processor.
NAN_BITS = {torch.float32: 0x7FC00000, torch.float16: 0x7E00, torch.bfloat16: 0x7FC0}
DTYPES = tuple(NAN_BITS)
INTEGERS = {torch.float32: torch.int32, torch.float16: torch.int16, torch.bfloat16: torch.int16}
ALIGNMENT_BYTES = 16


@dataclass(frozen=True)
class KindViews:
    """The parts of one plane of every layer, in the memory of an encoded chunk; layers come first.

    Otherwise their shapes are those of :class:`.quantised_layout.PlaneParts`.
    """

    words: Tensor
    """int32."""
    fifth_bits: Tensor
    """uint8."""
    minimum: Tensor
    """fp16."""
    step: Tensor
    """fp16."""
    exact_tokens: Tensor
    """The planes' dtype."""
    exact_dims: Tensor
    """The planes' dtype."""

    @classmethod
    def of(
        cls, encoded: Tensor, layout: QuantisedLayout, kind: int, dtype: torch.dtype
    ) -> KindViews:
        """Return the parts of planes ``kind`` of each layer, 0 or 1, of a chunk that has been checked.

        Args:
            encoded: ``[layout.nbytes]`` of uint8.
            layout: what is where in it.
            kind: which of a layer's planes.
            dtype: of the planes.
        """
        parts: PlaneParts = layout.kinds[kind]
        layers = encoded.view(layout.layers, layout.layer_bytes)

        def view(part: Part, dtype: torch.dtype) -> Tensor:
            items = layers[:, part.offset : part.offset + part.nbytes].view(dtype)
            return items.view(layout.layers, *part.shape)

        return cls(
            words=view(parts.words, torch.int32),
            fifth_bits=view(parts.fifth_bits, torch.uint8),
            minimum=view(parts.minimum, torch.float16),
            step=view(parts.step, torch.float16),
            exact_tokens=view(parts.exact_tokens, dtype),
            exact_dims=view(parts.exact_dims, dtype),
        )


def check_quantised(planes: Sequence[Tensor], layout: QuantisedLayout) -> None:
    """Raise ValueError for planes that ``layout`` is not of, or whose numbers can't be quantised."""
    check_alike(planes)
    dtype = planes[0].dtype
    if dtype not in DTYPES:
        known = ", ".join(map(_name, DTYPES))
        raise ValueError(f"a cache of {_name(dtype)} can't be quantised; use one of {known}")
    _, block_tokens, heads, dim = plane_shape(planes[0])
    own = (len(planes), heads, dim, dtype.itemsize)
    if own != (layout.planes, layout.heads, layout.dim, layout.element_bytes):
        raise ValueError(
            f"{own[0]} planes of {heads} heads of {dim} elements of {dtype.itemsize} bytes don't fit "
            f"the layout of {layout.planes} planes of {layout.heads} heads of {layout.dim} elements "
            f"of {layout.element_bytes} bytes"
        )
    if layout.tokens % block_tokens:
        raise ValueError(f"tokens={layout.tokens} is no multiple of a block's {block_tokens}")


def check_gather(
    planes: Sequence[Tensor], layout: QuantisedLayout, block_ids: Sequence[int], encoded: Tensor
) -> None:
    """Raise ValueError, with names and values, for arguments that don't fit each other.

    ``planes`` must fit ``layout``, which ``check_quantised`` has checked when they were taken.
    """
    check_encoded(layout, encoded)
    blocks, block_tokens, _, _ = plane_shape(planes[0])
    if len(block_ids) * block_tokens != layout.tokens:
        raise ValueError(
            f"{len(block_ids)} blocks of {block_tokens} tokens are not the {layout.tokens} tokens "
            "of a chunk; a chunk is encoded whole"
        )
    check_blocks(block_ids, blocks)


def check_scatter(
    planes: Sequence[Tensor],
    layout: QuantisedLayout,
    block_ids: Sequence[int],
    encoded: Tensor,
    first_token: int,
) -> None:
    """Raise ValueError as ``check_gather`` does, for blocks that are a part of the chunk's tokens."""
    check_encoded(layout, encoded)
    blocks, block_tokens, _, _ = plane_shape(planes[0])
    if first_token % block_tokens or first_token < 0:
        raise ValueError(f"first_token={first_token} is no multiple of {block_tokens}")
    end_token = first_token + len(block_ids) * block_tokens
    if end_token > layout.tokens:
        raise ValueError(f"token {end_token} is past the chunk's {layout.tokens}")
    check_blocks(block_ids, blocks)
    check_distinct(block_ids)


def check_encoded(layout: QuantisedLayout, encoded: Tensor) -> None:
    """Raise ValueError for memory that is no encoded chunk."""
    if encoded.dtype != torch.uint8 or list(encoded.shape) != [layout.nbytes]:
        raise ValueError(
            f"encoded is {list(encoded.shape)} of {_name(encoded.dtype)}; pass [{layout.nbytes}] of "
            "uint8"
        )
    if not encoded.is_contiguous():
        raise ValueError(f"encoded must be contiguous, got stride {encoded.stride(0)}")
    if encoded.data_ptr() % ALIGNMENT_BYTES:
        raise ValueError(
            f"encoded at {encoded.data_ptr():#x} is not aligned to {ALIGNMENT_BYTES} bytes"
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
