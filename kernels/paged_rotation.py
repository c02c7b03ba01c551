"""Rotates and scatters in device memory: one Triton kernel, one pass over a chunk's tokens.

The arithmetic is that of :mod:`.rotation_reference`, bit by bit: the kernel is compiled without
fused multiply-add, which would round a product and a sum at once. It rounds to bfloat16 by integers,
because Triton's interpreter, by which the tests run it, cuts the bits off.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from .move_ring import MoveRing
from .paged_copy import PROGRAMS, TILE_WORDS, WARPS
from .plane_table import PlaneTable
from .rotation_reference import check_rotation
from .token_move import check_token_move

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from .rotation import Rotation
    from .token_move import TokenMove

_ELEMENTS = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
_STRIDES = ["tokens", "block_token", "rotate", "plane_count"]
_STRIDES += ["block_units", "token_units", "head_units", "chunk_plane_units"]


# One function on purpose, as in paged_copy.py.
@triton.jit(do_not_specialize=_STRIDES)
def scatter_rotated(
    planes,
    moves,
    quotients,
    tokens,
    block_token,
    rotate,
    plane_count,
    block_units,
    token_units,
    head_units,
    chunk_plane_units,
    BLOCK_TOKENS: tl.constexpr,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    START: tl.constexpr,
    PAIRS: tl.constexpr,
    NEOX: tl.constexpr,
    PLANES_A_LAYER: tl.constexpr,
    UNIT: tl.constexpr,
    UNIT_BYTES: tl.constexpr,
    ELEMENT: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    TILE_DIM: tl.constexpr,
    TILE_PAIRS: tl.constexpr,
):
    """Scatter tiles of ``TILE_ROWS`` heads of one plane, dealt out to the programs.

    ``planes`` is ``[planes]`` int64: their addresses. ``moves`` is ``[moves, 2]`` int64: a block's
    number, and the address of the block's first token in plane 0 of the chunk, which may lie before
    the first token that is written. ``quotients`` is ``[tokens, 2, PAIRS]`` fp32. Keys are rotated
    if ``rotate`` is 1.
    """
    row_tiles = (tokens * HEADS + TILE_ROWS - 1) // TILE_ROWS
    tile = tl.program_id(0)
    # A while loop: a range from program_id breaks Triton 3.6's interpreter.
    while tile < row_tiles * plane_count:
        plane = (tile // row_tiles).to(tl.int64)
        row = (tile % row_tiles) * TILE_ROWS + tl.arange(0, TILE_ROWS)
        live = row < tokens * HEADS
        token, head = row // HEADS, (row % HEADS).to(tl.int64)
        place = block_token + token
        move, inside = place // BLOCK_TOKENS, (place % BLOCK_TOKENS).to(tl.int64)
        block = tl.load(moves + 2 * move, mask=live, other=0)
        chunk = tl.load(moves + 2 * move + 1, mask=live, other=0)
        units = block * block_units + inside * token_units + head * head_units
        chunk_row = (inside * HEADS + head) * DIM + plane * chunk_plane_units * UNIT
        # The hints belong on the pointers, behind the casts: see paged_copy.py.
        paged_at = tl.multiple_of(tl.load(planes + plane).to(tl.pointer_type(ELEMENT)), UNIT_BYTES)
        chunk_at = tl.multiple_of(chunk.to(tl.pointer_type(ELEMENT)), UNIT_BYTES)
        paged_rows = (paged_at + units * UNIT)[:, None]
        chunk_rows = (chunk_at + chunk_row)[:, None]

        is_rotated = (plane % PLANES_A_LAYER == 0) & (rotate == 1)
        column = tl.arange(0, TILE_DIM)
        still = (column < START) | (column >= START + 2 * PAIRS) | (is_rotated == 0)
        copied = live[:, None] & still[None, :]
        if DIM != TILE_DIM:
            copied = copied & (column < DIM)[None, :]
        values = tl.load(chunk_rows + column[None, :], mask=copied)
        tl.store(paged_rows + column[None, :], values, mask=copied)

        if is_rotated:
            pair = tl.arange(0, TILE_PAIRS)
            known = live[:, None]
            if PAIRS != TILE_PAIRS:
                known = known & (pair < PAIRS)[None, :]
            quotient = quotients + (token * (2 * PAIRS))[:, None] + pair[None, :]
            real = tl.load(quotient, mask=known, other=0.0)
            imaginary = tl.load(quotient + PAIRS, mask=known, other=0.0)
            if NEOX:
                a = tl.load(chunk_rows + START + pair[None, :], mask=known, other=0.0)
                b = tl.load(chunk_rows + START + PAIRS + pair[None, :], mask=known, other=0.0)
            else:
                span = tl.arange(0, 2 * TILE_PAIRS)
                both_known = live[:, None]
                if PAIRS != TILE_PAIRS:
                    both_known = both_known & (span < 2 * PAIRS)[None, :]
                both = tl.load(chunk_rows + START + span[None, :], mask=both_known, other=0.0)
                a, b = tl.split(tl.reshape(both, [TILE_ROWS, TILE_PAIRS, 2]))
            a, b = a.to(tl.float32), b.to(tl.float32)
            moved = tl.join(a * real - b * imaginary, b * real + a * imaginary)
            if ELEMENT == tl.bfloat16:  # noqa: SIM300 - a name in capitals is no constant here
                bits = moved.to(tl.uint32, bitcast=True)
                rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
                rounded = tl.where(moved == moved, rounded, 0x7FC0)
                result = rounded.to(tl.uint16).to(tl.bfloat16, bitcast=True)
            else:
                result = moved.to(ELEMENT)
            if NEOX:
                first, second = tl.split(result)
                tl.store(paged_rows + START + pair[None, :], first, mask=known)
                tl.store(paged_rows + START + PAIRS + pair[None, :], second, mask=known)
            else:
                flat = tl.reshape(result, [TILE_ROWS, 2 * TILE_PAIRS])
                tl.store(paged_rows + START + span[None, :], flat, mask=both_known)
        tile += tl.num_programs(0)


class PagedRotation:
    """Scatters chunks into planes on a GPU with one Triton kernel, on the current stream.

    A call launches its copy and returns. Until the stream has passed the copy, the chunk must not
    be written, and what it fills must be neither read nor written. Only one thread at a time may
    call, and always on the same stream. A chunk may lie in device memory or in pinned host memory.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, with equal shapes, dtypes and strides;
            the elements of a head are contiguous. They stay the caller's and must outlive the copy.
        rotation: how the model rotates its keys.
        planes_a_layer: 2: keys before values; 1: content.
        programs: how many programs the kernel runs, each on a multiprocessor.
        tile_words: how many elements a program copies at once; a power of two.

    Raises:
        ValueError: the planes are not alike, no kernel can read their strides, or their numbers
            can't be rotated.
    """

    def __init__(
        self,
        planes: Sequence[Tensor],
        rotation: Rotation,
        planes_a_layer: int,
        programs: int = PROGRAMS,
        tile_words: int = TILE_WORDS,
    ) -> None:
        self.planes = planes
        self._table = PlaneTable.of(planes)
        check_rotation(planes, rotation, planes_a_layer)
        self._rotation = rotation
        unit_bytes = self._table.head_unit_bytes(planes[0])
        self.constants = _constants(planes[0], rotation, planes_a_layer, unit_bytes, tile_words)
        """The kernel's compile-time arguments."""
        self._unit = unit_bytes // planes[0].element_size()
        steps = (stride // self._unit for stride in planes[0].stride()[:3])
        self._strides = (len(planes), *steps)
        self._ring = MoveRing(planes[0].device)
        self._kernel = self._compiled(programs)

    def scatter_tokens(self, chunk: Tensor, token_move: TokenMove) -> None:
        """See :func:`.rotation_reference.scatter_tokens`."""
        check_token_move(self.planes, chunk, token_move)
        if not token_move.tokens:
            return
        moves = self._table.moves(
            token_move.block_ids, chunk, token_move.first_token - token_move.block_token
        )
        # Where no key moves, the kernel reads no quotients.
        quotients = self._rotation.quotients(
            token_move.source_position,
            token_move.target_position,
            token_move.tokens if token_move.rotates else 0,
        )
        with self._ring.holding(moves) as table:
            self._kernel(
                *(self._table.addresses, table, quotients),
                *(token_move.tokens, token_move.block_token, int(token_move.rotates)),
                *self._strides,
                chunk.stride(0) // self._unit,
            )

    def _compiled(self, programs: int) -> Callable[..., object]:
        """Return the kernel; on a GPU it is compiled now, not during the first step."""
        launch = partial(scatter_rotated[(programs,)], num_warps=WARPS, enable_fp_fusion=False)
        if not self.planes[0].is_cuda:
            return partial(launch, **self.constants)
        with self._ring.holding([(0, 0)]) as table:
            nothing = (self._table.addresses, table, self._rotation.quotients(0, 0, 0), 0, 0, 0)
            compiled = launch(*nothing, *self._strides, 0, **self.constants)
        # A launch by name would inspect every argument again.
        ready, constants = compiled[(programs, 1, 1)], tuple(self.constants.values())
        return lambda *arguments: ready(*arguments, *constants)


def _constants(
    plane: Tensor, rotation: Rotation, planes_a_layer: int, unit_bytes: int, tile_words: int
) -> dict[str, object]:
    """Return the compile-time arguments, in the order of the kernel's."""
    _, block_tokens, heads, dim = plane.shape
    tile_dim = triton.next_power_of_2(dim)
    return {
        "BLOCK_TOKENS": block_tokens,
        "HEADS": heads,
        "DIM": dim,
        "START": rotation.start,
        "PAIRS": rotation.size // 2,
        "NEOX": rotation.pairing == "neox",
        "PLANES_A_LAYER": planes_a_layer,
        "UNIT": unit_bytes // plane.element_size(),
        "UNIT_BYTES": unit_bytes,
        "ELEMENT": _ELEMENTS[plane.dtype],
        "TILE_ROWS": max(1, tile_words // tile_dim),
        "TILE_DIM": tile_dim,
        "TILE_PAIRS": triton.next_power_of_2(rotation.size // 2),
    }
