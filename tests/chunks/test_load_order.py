from itertools import chain

from kvtransfer.chunks.groups import Groups
from kvtransfer.chunks.load_order import LoadOrder
from kvtransfer.chunks.reach import State, Window
from kvtransfer.chunks.tiling import Placement, Tiling

KEYS = [letter * 32 for letter in "abcd"]
A, B, C, D = KEYS
BLOCKS = [10, 11, 12, 13, 14, 15, 16, 17]


def whole(order, *tables):
    return order.placements(0, len(order.keys), tables)


def test_a_model_with_one_group_loads_what_is_not_skipped():
    groups = Groups((Tiling(chunk_tokens=8, block_tokens=4),))
    assert whole(LoadOrder(groups, KEYS, 24, 0), BLOCKS) == [
        Placement(A, (10, 11), 0),
        Placement(B, (12, 13), 0),
        Placement(C, (14, 15), 0),
    ]
    order = LoadOrder(groups, KEYS, 24, 12)
    assert order.keys == [B, C]
    assert whole(order, BLOCKS) == [Placement(B, (13,), 4), Placement(C, (14, 15), 0)]
    assert whole(LoadOrder(groups, KEYS, 24, 16), BLOCKS[:5]) == [Placement(C, (14,), 0)]
    assert whole(LoadOrder(groups, KEYS, 8, 8), BLOCKS) == []


def test_states_and_windows_come_first_and_only_where_they_are_read():
    groups = Groups(
        (Tiling(8, 4), Tiling(8, 8, State()), Tiling(8, 4, Window(tokens=6))),
    )
    order = LoadOrder(groups, KEYS, 24, 8)
    assert order.keys == [f"{C}-1", f"{C}-2", B, C]
    states, window = [0, 0, 21], [0, 0, 0, 0, 34, 35]
    assert whole(order, BLOCKS, states, window) == [
        Placement(f"{C}-1", (21,), 0),
        Placement(f"{C}-2", (34, 35), 0),
        Placement(B, (12, 13), 0),
        Placement(C, (14, 15), 0),
    ]


def test_a_window_of_less_than_a_chunk_has_a_short_piece():
    """Of chunk 1, tokens 8 to 15, a window of 4 tokens reads the last three: one block."""
    groups = Groups((Tiling(8, 4), Tiling(8, 4, Window(tokens=4))))
    order = LoadOrder(groups, KEYS, 16, 0)
    placements = whole(order, BLOCKS, [0, 0, 0, 33])
    assert placements[0] == Placement(f"{B}-1", (33,), 0)


def test_a_window_that_begins_within_a_chunk_fills_that_part():
    groups = Groups((Tiling(8, 2, Window(tokens=12)),))
    order = LoadOrder(groups, KEYS, 16, 0)
    table = [0, 0, 42, 43, 44, 45, 46, 47]
    assert whole(order, table) == [
        Placement(A, (42, 43), 4),  # tokens 5 to 7 are read; the block begins with 4
        Placement(B, (44, 45, 46, 47), 0),
    ]


def test_parts_of_an_order_are_the_whole():
    groups = Groups((Tiling(8, 4), Tiling(8, 4, Window(tokens=20))))
    order = LoadOrder(groups, KEYS, 32, 4)
    tables = BLOCKS, BLOCKS
    for size in (1, 2, 3):
        parts = [order.placements(i, i + size, tables) for i in range(0, len(order.keys), size)]
        assert list(chain(*parts)) == whole(order, *tables)
    assert [placement.key for placement in whole(order, *tables)] == list(order.keys)


def test_tokens_of_a_part():
    one = LoadOrder(Groups((Tiling(8, 4),)), KEYS, 24, 4)
    assert [one.tokens(pieces) for pieces in range(4)] == [0, 4, 12, 20]
    several = LoadOrder(Groups((Tiling(8, 4), Tiling(8, 8, State()))), KEYS, 24, 0)
    assert [several.tokens(pieces) for pieces in (0, 2, 4)] == [0, 12, 24]
