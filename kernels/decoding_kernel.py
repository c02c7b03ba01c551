"""The Triton kernel that decodes into blocks; its tiles are those of :mod:`.encoding_kernel`."""

import triton
import triton.language as tl

from .quantised_arithmetic import numbers_of

_STRIDES = ["plane_count", "block_units", "token_units", "head_units", "first_token", "end_token"]


# Compiled twice, as the other one.
@triton.jit(do_not_specialize=_STRIDES)
def decode_blocks(
    planes,
    moves,
    encoded,
    plane_count,
    block_units,
    token_units,
    head_units,
    first_token,
    end_token,
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
    """Decode tokens ``[first_token, end_token)`` of a chunk into one plane of each layer.

    ``moves`` names the blocks of these tokens. Other arguments are those of the encoding kernel.
    """
    CODE_BITS: tl.constexpr = 8 if BITS == 8 else 4
    WORD_TOKENS: tl.constexpr = 32 // CODE_BITS
    WORD_ROWS: tl.constexpr = 64 // WORD_TOKENS
    COLUMNS: tl.constexpr = HEADS * HEAD_GROUPS
    ROW: tl.constexpr = COLUMNS * GROUP_DIMS
    column_tiles: tl.constexpr = (COLUMNS + TILE_COLUMNS - 1) // TILE_COLUMNS
    before = first_token // (64 * TILE_GROUPS)
    group_tiles = (end_token + 64 * TILE_GROUPS - 1) // (64 * TILE_GROUPS) - before
    tile = tl.program_id(0)
    # A while loop: a range from program_id breaks Triton 3.6's interpreter.
    while tile < column_tiles * group_tiles * plane_count:
        plane = (tile // (column_tiles * group_tiles)).to(tl.int64)
        first_group = (before + tile // column_tiles % group_tiles) * TILE_GROUPS
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
        words_at = tl.multiple_of((layer_at + WORDS_AT).to(tl.pointer_type(tl.int32)), 16)
        word_row = (group * WORD_ROWS)[:, None] + row[None, :]
        at_word = (word_row * ROW)[:, :, None, None] + in_row[None, None, :, :]
        present = known[None, None, :, :]
        words = tl.load(words_at + at_word, mask=present, other=0)
        shift = place[:, None, None, None, None]
        codes = words[None, :, :, :, :] >> shift * CODE_BITS & ((1 << CODE_BITS) - 1)
        if BITS == 5:
            fifths_at = tl.multiple_of(layer_at + FIFTH_BITS_AT, 16)
            fifth_bits = tl.load(fifths_at + at_word, mask=present, other=0).to(tl.int32)
            codes = codes | ((fifth_bits[None, :, :, :, :] >> shift & 1) << 4)

        token = place[:, None, None] * WORD_ROWS + (64 * group)[None, :, None] + row[None, None, :]
        if BY_CHANNEL:
            scales = (group * ROW)[:, None, None] + in_row[None, :, :]
            has_scales = known[None, :, :]
        else:
            scales = (token * COLUMNS)[:, :, :, None] + column[None, None, None, :]
            has_scales = (column < COLUMNS)[None, None, None, :]
        minima = tl.multiple_of((layer_at + MINIMUM_AT).to(tl.pointer_type(tl.uint16)), 16)
        steps = tl.multiple_of((layer_at + STEP_AT).to(tl.pointer_type(tl.uint16)), 16)
        minimum = tl.load(minima + scales, mask=has_scales, other=0)
        step = tl.load(steps + scales, mask=has_scales, other=0)
        if BY_CHANNEL:
            minimum, step = minimum[None, :, None, :, :], step[None, :, None, :, :]
        else:
            minimum, step = minimum[:, :, :, :, None], step[:, :, :, :, None]
        numbers = numbers_of(codes, minimum, step, ELEMENT)

        live = (token >= first_token) & (token < end_token)
        block = tl.load(moves + 2 * ((token - first_token) // BLOCK_TOKENS), mask=live, other=0)
        inside = ((token - first_token) % BLOCK_TOKENS).to(tl.int64)
        rows = (paged_at + (block * block_units + inside * token_units) * UNIT)[:, :, :, None, None]
        cells = rows + at_column[None, None, None, :, None] + dim[None, None, None, None, :]
        mask = (live & (token >= EXACT_TOKENS))[:, :, :, None, None]
        if COLUMNS % TILE_COLUMNS != 0 or GROUP_DIMS != TILE_DIMS:
            mask = mask & known[None, None, None, :, :]
        tl.store(cells, numbers, mask=mask)

        if EXACT_TOKENS > 0:  # noqa: SIM102 - decided when it is compiled
            if (first_group == 0) & (first_token < EXACT_TOKENS):
                early = tl.arange(0, TILE_EXACT_TOKENS)
                is_written = (early >= first_token) & (early < end_token) & (early < EXACT_TOKENS)
                is_kept = is_written[:, None, None] & known[None, :, :]
                early_move = (early - first_token) // BLOCK_TOKENS
                early_block = tl.load(moves + 2 * early_move, mask=is_written, other=0)
                inside_block = ((early - first_token) % BLOCK_TOKENS).to(tl.int64)
                at_early = (early_block * block_units + inside_block * token_units) * UNIT
                early_cells = (paged_at + at_early)[:, None, None] + at_column[None, :, None]
                kept_at = layer_at + EXACT_TOKENS_AT
                kept_cells = tl.multiple_of(kept_at.to(tl.pointer_type(ELEMENT)), 16)
                kept_rows = kept_cells + (early * ROW)[:, None, None]
                kept = tl.load(kept_rows + in_row[None, :, :], mask=is_kept)
                tl.store(early_cells + dim[None, None, :], kept, mask=is_kept)

        if EXACT_DIMS > 0:  # noqa: SIM102
            if first_column == 0:
                each = first_group * 64 + tl.arange(0, 64 * TILE_GROUPS)
                last = tl.arange(0, TILE_EXACT_DIMS)
                is_each = (each >= first_token) & (each < end_token)
                is_last = is_each[:, None] & (last < EXACT_DIMS)[None, :]
                each_move = (each - first_token) // BLOCK_TOKENS
                each_block = tl.load(moves + 2 * each_move, mask=is_each, other=0)
                inside_each = ((each - first_token) % BLOCK_TOKENS).to(tl.int64)
                at_each = each_block * block_units + inside_each * token_units
                last_at = layer_at + EXACT_DIMS_AT
                last_cells = tl.multiple_of(last_at.to(tl.pointer_type(ELEMENT)), 16)
                head = plane * 0
                while head < HEADS:
                    head_rows = (paged_at + (at_each + head * head_units) * UNIT)[:, None]
                    last_rows = last_cells + ((each * HEADS + head) * EXACT_DIMS)[:, None]
                    lasts = tl.load(last_rows + last[None, :], mask=is_last)
                    tl.store(head_rows + ROW // HEADS + last[None, :], lasts, mask=is_last)
                    head += 1
        tile += tl.num_programs(0)
