"""Encodes and decodes in device memory: a Triton kernel a direction, launched on the current stream."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl

from . import decoding_kernel, encoding_kernel
from .move_ring import MoveRing
from .plane_table import PlaneTable
from .quantised_layout import GROUP_TOKENS
from .quantised_parts import check_gather, check_quantised, check_scatter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from .quantised_layout import QuantisedLayout

# Twice the copy's, by an estimate: a number costs 30 instructions to encode and 20 to decode, so that a
# multiprocessor should reach 10 GB/s, and the bus takes 100 GB/s of what becomes half as long.
PROGRAMS = 16
TILE_NUMBERS = 16384
MOST_WARPS = 8
_NUMBERS_A_THREAD = 64
# Bits stand for bfloat16, see quantised_arithmetic.py.
_ELEMENTS = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.uint16}


class PagedQuantised:
    """Encodes blocks on a GPU, and decodes into them, with one Triton kernel a direction.

    A call launches its copy and returns. Until the stream has passed the copy, a gather's blocks and
    a scatter's chunk must not be written, and what it fills must be neither read nor written. Only
    one thread at a time may call each of the two methods, and always on the same stream. A chunk may
    lie in device memory or in pinned host memory.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, with equal shapes, dtypes and strides;
            the elements of a head are contiguous. They stay the caller's and must outlive the copy.
        layout: how chunks are encoded.
        programs: how many programs a kernel runs, each on a multiprocessor.
        tile_numbers: how many numbers a program encodes or decodes at once; a power of two.

    Raises:
        ValueError: the planes are not alike, no kernel can read their strides, ``layout`` is not of
            them, or their numbers can't be quantised.
    """

    def __init__(
        self,
        planes: Sequence[Tensor],
        layout: QuantisedLayout,
        programs: int = PROGRAMS,
        tile_numbers: int = TILE_NUMBERS,
    ) -> None:
        self.planes = planes
        self._table = PlaneTable.of(planes)
        check_quantised(planes, layout)
        self._layout = layout
        self._addresses = [
            self._table.addresses[kind :: layout.planes_a_layer].contiguous()
            for kind in range(layout.planes_a_layer)
        ]
        unit_bytes = self._table.head_unit_bytes(planes[0])
        tile = _tile(layout, tile_numbers)
        constants = _constants(planes[0], layout, unit_bytes, tile)
        self.constants = [constants | _kind_constants(layout, i) for i in range(len(layout.kinds))]
        """The kernels' compile-time arguments, for each kind of plane."""
        warp_numbers = 32 * _NUMBERS_A_THREAD
        self.warps = max(1, min(MOST_WARPS, GROUP_TOKENS * prod(tile) // warp_numbers))
        """How many warps a program has."""
        unit = unit_bytes // planes[0].element_size()
        steps = (stride // unit for stride in planes[0].stride()[:3])
        self._strides = (layout.layers, *steps)
        self._gather = self._direction(encoding_kernel.encode_blocks, programs, ())
        self._scatter = self._direction(decoding_kernel.decode_blocks, programs, (0, 0))

    def gather_blocks(self, block_ids: Sequence[int], encoded: Tensor) -> None:
        """See :func:`.quantised_reference.gather_quantised`."""
        check_gather(self.planes, self._layout, block_ids, encoded)
        self._launch(self._gather, block_ids, encoded)

    def scatter_blocks(
        self, encoded: Tensor, block_ids: Sequence[int], first_token: int = 0
    ) -> None:
        """See :func:`.quantised_reference.scatter_quantised`."""
        check_scatter(self.planes, self._layout, block_ids, encoded, first_token)
        if block_ids:
            end_token = first_token + len(block_ids) * self.planes[0].shape[1]
            self._launch(self._scatter, block_ids, encoded, first_token, end_token)

    def _launch(
        self, direction: _Direction, block_ids: Sequence[int], encoded: Tensor, *tokens: int
    ) -> None:
        with direction.ring.holding([(block, 0) for block in block_ids]) as table:
            for kind, kernel in enumerate(direction.kernels):
                addresses = self._addresses[kind]
                kernel(addresses, table, encoded, *self._strides, *tokens)

    def _direction(self, kernel: Any, programs: int, no_tokens: tuple[int, ...]) -> _Direction:
        """Return a kernel for each kind; on a GPU it is compiled now, not during the first step."""
        ring = MoveRing(self.planes[0].device)
        launch = partial(kernel[(programs,)], num_warps=self.warps, enable_fp_fusion=False)
        if not self.planes[0].is_cuda:
            return _Direction(ring, [partial(launch, **constants) for constants in self.constants])
        kernels = []
        with ring.holding([(0, 0)]) as table:
            for addresses, constants in zip(self._addresses, self.constants, strict=True):
                nothing = (addresses, table, addresses.view(torch.uint8), 0, *self._strides[1:])
                compiled = launch(*nothing, *no_tokens, **constants)
                kernels.append(_ready(compiled[(programs, 1, 1)], constants))
        return _Direction(ring, kernels)


@dataclass(frozen=True)
class _Direction:
    """A kernel for each kind of plane, and the tables that its launches read."""

    ring: MoveRing
    kernels: Sequence[Callable[..., object]]


def _ready(launch: Callable[..., object], constants: dict[str, object]) -> Callable[..., object]:
    """Return a compiled kernel as a function of its arguments; a launch by name would inspect them."""
    values = tuple(constants.values())
    return lambda *arguments: launch(*arguments, *values)


def _tile(layout: QuantisedLayout, tile_numbers: int) -> tuple[int, int, int]:
    """Return how many times 64 tokens, columns, and elements of each a tile has; powers of two."""
    dims = triton.next_power_of_2(layout.group_dims)
    most = max(1, tile_numbers // GROUP_TOKENS // dims)
    columns = min(most, triton.next_power_of_2(layout.heads * layout.head_groups))
    # No tile goes on behind the chunk: what divides its groups is the lowest bit of their number.
    return min(most // columns, layout.groups & -layout.groups), columns, dims


def _constants(
    plane: Tensor, layout: QuantisedLayout, unit_bytes: int, tile: tuple[int, int, int]
) -> dict[str, object]:
    """Return the compile-time arguments, in the order of the kernels'."""
    return {
        "BLOCK_TOKENS": plane.shape[1],
        "GROUPS": layout.groups,
        "HEADS": layout.heads,
        "HEAD_GROUPS": layout.head_groups,
        "GROUP_DIMS": layout.group_dims,
        "EXACT_TOKENS": layout.exact_tokens,
        "EXACT_DIMS": layout.exact_dims,
        "BITS": layout.bits,
        "UNIT": unit_bytes // plane.element_size(),
        "UNIT_BYTES": unit_bytes,
        "ELEMENT": _ELEMENTS[plane.dtype],
        "TILE_GROUPS": tile[0],
        "TILE_COLUMNS": tile[1],
        "TILE_DIMS": tile[2],
        "TILE_EXACT_TOKENS": triton.next_power_of_2(max(1, layout.exact_tokens)),
        "TILE_EXACT_DIMS": triton.next_power_of_2(max(1, layout.exact_dims)),
    }


def _kind_constants(layout: QuantisedLayout, kind: int) -> dict[str, object]:
    """Return the rest of them, of one kind of plane."""
    parts = layout.kinds[kind]
    return {
        "BY_CHANNEL": layout.is_by_channel(kind),
        "LAYER_BYTES": layout.layer_bytes,
        "WORDS_AT": parts.words.offset,
        "FIFTH_BITS_AT": parts.fifth_bits.offset,
        "MINIMUM_AT": parts.minimum.offset,
        "STEP_AT": parts.step.offset,
        "EXACT_TOKENS_AT": parts.exact_tokens.offset,
        "EXACT_DIMS_AT": parts.exact_dims.offset,
    }
