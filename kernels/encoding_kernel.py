"""The Triton kernel that encodes blocks: one pass over paged memory, one over the encoded chunk.

A tile is some times 64 tokens of some columns, which are groups of a token's elements. Its numbers
are ``[word_tokens, groups, word_rows, columns, elements]``: the codes of one word are apart along the
first dimension, which a thread holds in its registers, so that packing moves nothing between threads.
"""

import triton
import triton.language as tl

from .quantised_arithmetic import codes_of, group_scales, widened

_STRIDES = ["plane_count", "block_units", "token_units", "head_units"]


# One function on purpose, as in paged_copy.py, but for the arithmetic. It is compiled for planes that
# are grouped by channel and for others, since both in one would hold twice the numbers in registers.
@triton.jit(do_not_specialize=_STRIDES)
def encode_blocks(
    planes,
    moves,
    encoded,
    plane_count,
    block_units,
    token_units,
    head_units,
    BLOCK_TOKENS: tl.constexpr,
    GROUPS: tl.constexpr,
    HEADS: tl.constexpr,
    HEAD_GROUPS: tl.constexpr,
    GROUP_DIMS: tl.constexpr,
    EXACT_TOKENS: tl.constexpr,
    EXACT_DIMS: tl.constexpr,
    BITS: tl.constexpr,
    UNIT: tl.constexpr,
    UNIT_BYTES: tl.constexpr,
    ELEMENT: tl.constexpr,
    TILE_GROUPS: tl.constexpr,
    TILE_COLUMNS: tl.constexpr,
    TILE_DIMS: tl.constexpr,
    TILE_EXACT_TOKENS: tl.constexpr,
    TILE_EXACT_DIMS: tl.constexpr,
    BY_CHANNEL: tl.constexpr,
    LAYER_BYTES: tl.constexpr,
    WORDS_AT: tl.constexpr,
    FIFTH_BITS_AT: tl.constexpr,
    MINIMUM_AT: tl.constexpr,
    STEP_AT: tl.constexpr,
    EXACT_TOKENS_AT: tl.constexpr,
    EXACT_DIMS_AT: tl.constexpr,
):
    """Encode one plane of each layer of a chunk; tiles are dealt out to the programs.

    ``planes`` is ``[planes]`` int64: their addresses. ``moves`` is ``[blocks, 2]`` int64: the blocks'
    numbers, and nothing. ``encoded`` is the chunk; the parts of a plane begin at ``..._AT`` bytes of
    its layer.
    """
    CODE_BITS: tl.constexpr = 8 if BITS == 8 else 4
    LEVELS: tl.constexpr = (1 << BITS) - 1
    WORD_TOKENS: tl.constexpr = 32 // CODE_BITS
    WORD_ROWS: tl.constexpr = 64 // WORD_TOKENS
    COLUMNS: tl.constexpr = HEADS * HEAD_GROUPS
    ROW: tl.constexpr = COLUMNS * GROUP_DIMS
    column_tiles: tl.constexpr = (COLUMNS + TILE_COLUMNS - 1) // TILE_COLUMNS
    tiles_a_plane: tl.constexpr = column_tiles * (GROUPS // TILE_GROUPS)
    tile = tl.program_id(0)
    # A while loop: a range from program_id breaks Triton 3.6's interpreter.
    while tile < tiles_a_plane * plane_count:
        plane = (tile // tiles_a_plane).to(tl.int64)
        first_group = tile % tiles_a_plane // column_tiles * TILE_GROUPS
        first_column = tile % column_tiles * TILE_COLUMNS
        group = first_group + tl.arange(0, TILE_GROUPS)
        column = first_column + tl.arange(0, TILE_COLUMNS)
        dim = tl.arange(0, TILE_DIMS)
        known = (column < COLUMNS)[:, None] & (dim < GROUP_DIMS)[None, :]
        in_row = (column * GROUP_DIMS)[:, None] + dim[None, :]
        at_column = (column // HEAD_GROUPS).to(tl.int64) * head_units * UNIT
        at_column += column % HEAD_GROUPS * GROUP_DIMS
        # The hints belong on the pointers, behind the casts: see paged_copy.py.
        paged_at = tl.multiple_of(tl.load(planes + plane).to(tl.pointer_type(ELEMENT)), UNIT_BYTES)
        layer_at = encoded + plane * LAYER_BYTES

        place = tl.arange(0, WORD_TOKENS)
        row = tl.arange(0, WORD_ROWS)
        token = place[:, None, None] * WORD_ROWS + (64 * group)[None, :, None] + row[None, None, :]
        source = tl.maximum(token, EXACT_TOKENS)
        block = tl.load(moves + 2 * (source // BLOCK_TOKENS))
        at_token = block * block_units + (source % BLOCK_TOKENS).to(tl.int64) * token_units
        rows = (paged_at + at_token * UNIT)[:, :, :, None, None]
        cells = rows + at_column[None, None, None, :, None] + dim[None, None, None, None, :]
        if COLUMNS % TILE_COLUMNS == 0 and GROUP_DIMS == TILE_DIMS:
            numbers = widened(tl.load(cells), ELEMENT)
        else:
            mask = known[None, None, None, :, :]
            numbers = widened(tl.load(cells, mask=mask, other=0), ELEMENT)

        is_nan = (numbers != numbers).to(tl.int32)
        minima = tl.multiple_of((layer_at + MINIMUM_AT).to(tl.pointer_type(tl.uint16)), 16)
        steps = tl.multiple_of((layer_at + STEP_AT).to(tl.pointer_type(tl.uint16)), 16)
        if BY_CHANNEL:
            lowest, highest = tl.min(tl.min(numbers, 0), 1), tl.max(tl.max(numbers, 0), 1)
            has_nan = tl.max(tl.max(is_nan, 0), 1)
            minimum, step = group_scales(lowest, highest, has_nan, LEVELS)
            scales = (group * ROW)[:, None, None] + in_row[None, :, :]
            has_scales = known[None, :, :]
        else:
            if GROUP_DIMS == TILE_DIMS:
                lowest, highest = tl.min(numbers, 4), tl.max(numbers, 4)
            else:
                inside = (dim < GROUP_DIMS)[None, None, None, None, :]
                lowest = tl.min(tl.where(inside, numbers, float("inf")), 4)
                highest = tl.max(tl.where(inside, numbers, float("-inf")), 4)
            minimum, step = group_scales(lowest, highest, tl.max(is_nan, 4), LEVELS)
            scales = (token * COLUMNS)[:, :, :, None] + column[None, None, None, :]
            has_scales = (column < COLUMNS)[None, None, None, :]
        tl.store(minima + scales, minimum, mask=has_scales)
        tl.store(steps + scales, step, mask=has_scales)
        if BY_CHANNEL:
            minimum, step = minimum[None, :, None, :, :], step[None, :, None, :, :]
        else:
            minimum, step = minimum[:, :, :, :, None], step[:, :, :, :, None]
        codes = codes_of(numbers, minimum, step, LEVELS)

        words_at = tl.multiple_of((layer_at + WORDS_AT).to(tl.pointer_type(tl.int32)), 16)
        word_row = (group * WORD_ROWS)[:, None] + row[None, :]
        at_word = (word_row * ROW)[:, :, None, None] + in_row[None, None, :, :]
        shift = place[:, None, None, None, None]
        low_codes = codes & 15 if BITS == 5 else codes
        words = tl.sum(low_codes << shift * CODE_BITS, 0)
        tl.store(words_at + at_word, words, mask=known[None, None, :, :])
        if BITS == 5:
            fifth_bits = tl.sum(codes >> 4 << shift, 0).to(tl.uint8)
            fifths_at = tl.multiple_of(layer_at + FIFTH_BITS_AT, 16)
            tl.store(fifths_at + at_word, fifth_bits, mask=known[None, None, :, :])

        if EXACT_TOKENS > 0:  # noqa: SIM102 - decided when it is compiled
            if first_group == 0:
                early = tl.arange(0, TILE_EXACT_TOKENS)
                is_kept = (early < EXACT_TOKENS)[:, None, None] & known[None, :, :]
                early_block = tl.load(moves + 2 * (early // BLOCK_TOKENS))
                inside_block = (early % BLOCK_TOKENS).to(tl.int64)
                at_early = (early_block * block_units + inside_block * token_units) * UNIT
                early_cells = (paged_at + at_early)[:, None, None] + at_column[None, :, None]
                kept_at = layer_at + EXACT_TOKENS_AT
                kept_cells = tl.multiple_of(kept_at.to(tl.pointer_type(ELEMENT)), 16)
                kept_rows = kept_cells + (early * ROW)[:, None, None]
                kept = tl.load(early_cells + dim[None, None, :], mask=is_kept)
                tl.store(kept_rows + in_row[None, :, :], kept, mask=is_kept)

        if EXACT_DIMS > 0:  # noqa: SIM102
            if first_column == 0:
                each = first_group * 64 + tl.arange(0, 64 * TILE_GROUPS)
                last = tl.arange(0, TILE_EXACT_DIMS)
                is_last = (each >= 0)[:, None] & (last < EXACT_DIMS)[None, :]
                each_block = tl.load(moves + 2 * (each // BLOCK_TOKENS))
                inside_each = (each % BLOCK_TOKENS).to(tl.int64)
                at_each = each_block * block_units + inside_each * token_units
                last_at = layer_at + EXACT_DIMS_AT
                last_cells = tl.multiple_of(last_at.to(tl.pointer_type(ELEMENT)), 16)
                head = plane * 0
                while head < HEADS:
                    head_rows = (paged_at + (at_each + head * head_units) * UNIT)[:, None]
                    last_rows = last_cells + ((each * HEADS + head) * EXACT_DIMS)[:, None]
                    lasts = tl.load(head_rows + ROW // HEADS + last[None, :], mask=is_last)
                    tl.store(last_rows + last[None, :], lasts, mask=is_last)
                    head += 1
        tile += tl.num_programs(0)
