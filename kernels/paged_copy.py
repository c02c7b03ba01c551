"""Copies blocks in device memory: one Triton kernel for every layout and dtype.

The kernel moves words and never looks at numbers, so every dtype is copied exactly. Strides are
given in units of up to 16 bytes, so that the compiler can prove every access to be that wide
(``benchmarks/sass_report.py`` shows the machine code).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import triton
import triton.language as tl

from .move_ring import MoveRing
from .plane_table import PlaneTable
from .reference import check_distinct, check_fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

# A few programs leave the model its multiprocessors. One program keeps 64 KiB in flight and moves
# 47 GB/s on an H200 (benchmarks/results), so eight are several times faster than the bus.
PROGRAMS = 8
TILE_WORDS = 8192
WARPS = 16
_WORDS = {8: tl.int64, 4: tl.int32, 2: tl.int16, 1: tl.int8}
_STRIDES = ["move_count", "plane_count"]
_STRIDES += ["block_units", "token_units", "head_units", "chunk_plane_units"]


# One compilation for each shape and direction. The kernel is one function on purpose: a third of it is
# its arguments, a jitted helper would take most of them again, and Triton's interpreter, by which the
# tests run this function in a process that also compiles it, calls no other jitted function.
@triton.jit(do_not_specialize=_STRIDES)
def copy_blocks(
    planes,
    moves,
    move_count,
    plane_count,
    block_units,
    token_units,
    head_units,
    chunk_plane_units,
    BLOCK_WORDS: tl.constexpr,
    ROW_WORDS: tl.constexpr,
    RUN_WORDS: tl.constexpr,
    UNIT_WORDS: tl.constexpr,
    UNIT_BYTES: tl.constexpr,
    WORD: tl.constexpr,
    TILE_MOVES: tl.constexpr,
    TILE_WORDS: tl.constexpr,
    TO_CHUNK: tl.constexpr,
):
    """Copy tiles of ``TILE_MOVES`` blocks by ``TILE_WORDS`` words, dealt out to the programs.

    ``planes`` is ``[planes]`` int64: their addresses. ``moves`` is ``[moves, 2]`` int64: a block's
    number, and the address of the block's first word in plane 0 of its chunk.
    """
    tiles_a_block: tl.constexpr = (BLOCK_WORDS + TILE_WORDS - 1) // TILE_WORDS
    move_tiles = (move_count + TILE_MOVES - 1) // TILE_MOVES
    tiles = tiles_a_block * move_tiles * plane_count
    tile = tl.program_id(0)
    # A while loop: a range from program_id breaks Triton 3.6's interpreter.
    while tile < tiles:
        word = (tile % tiles_a_block) * TILE_WORDS + tl.arange(0, TILE_WORDS)
        move = (tile // tiles_a_block % move_tiles) * TILE_MOVES + tl.arange(0, TILE_MOVES)
        plane = (tile // (tiles_a_block * move_tiles)).to(tl.int64)
        live = move < move_count
        block = tl.load(moves + 2 * move, mask=live, other=0)
        chunk = tl.load(moves + 2 * move + 1, mask=live, other=0)
        # Triton drops these hints when they are on the integers, and then every access is half
        # as wide.
        paged_at = tl.multiple_of(tl.load(planes + plane).to(tl.pointer_type(WORD)), UNIT_BYTES)
        chunk_at = tl.multiple_of(chunk.to(tl.pointer_type(WORD)), UNIT_BYTES)
        if RUN_WORDS == BLOCK_WORDS:
            inside = word.to(tl.int64)
        else:
            run = (word // RUN_WORDS).to(tl.int64)
            token, head = run // (ROW_WORDS // RUN_WORDS), run % (ROW_WORDS // RUN_WORDS)
            steps = token * token_units + head * head_units
            inside = steps * UNIT_WORDS + word % RUN_WORDS
        paged_words = paged_at + (block * block_units * UNIT_WORDS)[:, None] + inside[None, :]
        chunk_words = (chunk_at + plane * chunk_plane_units * UNIT_WORDS)[:, None] + word[None, :]
        mask = live[:, None]
        if BLOCK_WORDS % TILE_WORDS != 0:
            mask = mask & (word < BLOCK_WORDS)[None, :]
        if TO_CHUNK:
            tl.store(chunk_words, tl.load(paged_words, mask=mask), mask=mask)
        else:
            tl.store(paged_words, tl.load(chunk_words, mask=mask), mask=mask)
        tile += tl.num_programs(0)


class PagedCopy:
    """Copies between planes on a GPU and chunks with one Triton kernel, on the current stream.

    A call launches its copy and returns. Until the stream has passed the copy, a gather's blocks
    and a scatter's chunk must not be written, and what it fills must be neither read nor written.
    Only one thread at a time may call each of the two methods. A chunk may lie in device memory or
    in pinned host memory.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, with equal shapes, dtypes and strides;
            the elements of a head are contiguous. They stay the caller's and must outlive the copy.
        programs: how many programs the kernel runs, each on a multiprocessor.
        tile_words: how many words a program copies at once; a power of two.

    Raises:
        ValueError: the planes are not alike, or no kernel can read their strides.
    """

    def __init__(
        self, planes: Sequence[Tensor], programs: int = PROGRAMS, tile_words: int = TILE_WORDS
    ) -> None:
        self.planes = planes
        self._table = PlaneTable.of(planes)
        self.constants = _constants(self._table, tile_words)
        """The kernel's compile-time arguments, without the direction."""
        self._gather = self._direction(programs, to_chunk=True)
        self._scatter = self._direction(programs, to_chunk=False)

    def gather_blocks(self, block_ids: Sequence[int], chunk: Tensor, first_token: int = 0) -> None:
        """See :func:`.reference.gather_blocks`."""
        self._launch(self._gather, block_ids, chunk, first_token)

    def scatter_blocks(self, chunk: Tensor, block_ids: Sequence[int], first_token: int = 0) -> None:
        """See :func:`.reference.scatter_blocks`."""
        check_distinct(block_ids)
        self._launch(self._scatter, block_ids, chunk, first_token)

    def _launch(
        self, direction: _Direction, block_ids: Sequence[int], chunk: Tensor, first_token: int
    ) -> None:
        check_fit(self.planes, block_ids, chunk, first_token)
        moves = self._table.moves(block_ids, chunk, first_token)
        if not moves:
            return
        chunk_plane_bytes = chunk.stride(0) * chunk.element_size()
        with direction.ring.holding(moves) as table:
            direction.kernel(*self._arguments(table, len(moves), chunk_plane_bytes))

    def _arguments(
        self, moves: Tensor, move_count: int, chunk_plane_bytes: int
    ) -> tuple[object, ...]:
        table = self._table
        return (
            table.addresses,
            moves,
            move_count,
            len(self.planes),
            table.block_units,
            table.token_units,
            table.head_units,
            chunk_plane_bytes // table.unit_bytes,
        )

    def _direction(self, programs: int, *, to_chunk: bool) -> _Direction:
        """Return the kernel one way; on a GPU it is compiled now, not during the first step."""
        ring, launch = MoveRing(self.planes[0].device), copy_blocks[(programs,)]
        options = {**self.constants, "TO_CHUNK": to_chunk}
        if not self.planes[0].is_cuda:
            return _Direction(ring, partial(launch, **options, num_warps=WARPS))
        with ring.holding([(0, 0)]) as table:
            compiled = launch(*self._arguments(table, 0, 0), **options, num_warps=WARPS)
        # A launch by name would inspect every argument again.
        ready, constants = compiled[(programs, 1, 1)], tuple(options.values())
        return _Direction(ring, lambda *arguments: ready(*arguments, *constants))


@dataclass(frozen=True)
class _Direction:
    """The kernel one way, and the tables that its launches read."""

    ring: MoveRing
    kernel: Callable[..., object]


def _constants(table: PlaneTable, tile_words: int) -> dict[str, object]:
    """Return the compile-time arguments, in the order of the kernel's."""
    word_bytes = min(table.unit_bytes, 8)
    block_words = table.block_bytes // word_bytes
    width = min(triton.next_power_of_2(block_words), tile_words)
    return {
        "BLOCK_WORDS": block_words,
        "ROW_WORDS": table.row_bytes // word_bytes,
        "RUN_WORDS": table.run_bytes // word_bytes,
        "UNIT_WORDS": table.unit_bytes // word_bytes,
        "UNIT_BYTES": table.unit_bytes,
        "WORD": _WORDS[word_bytes],
        "TILE_MOVES": tile_words // width,
        "TILE_WORDS": width,
    }
