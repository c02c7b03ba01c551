"""Gaps are cut into batches that fit vLLM's limits, and laid out as vLLM lays out a step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.connector.vllm.blend.gap_batch import GapBatch
from kvtransfer.connector.vllm.blend.gap_rows import batches
from kvtransfer.plan import GapJob

BLOCK_TOKENS = 16


def job(number, *gaps):
    """Each token's id tells the job and the position."""
    end = gaps[-1][1] if gaps else 0
    ids = [number * 1000 + token for start, end in gaps for token in range(start, end)]
    blocks = range(100 * number, 100 * number + -(-end // BLOCK_TOKENS))
    return GapJob(number, tuple(blocks), gaps, tuple(ids))


def ranges(batch):
    return [(row.start, row.end) for row in batch]


def test_gaps_that_fit_are_one_batch_in_order():
    (batch,) = batches([job(1, (3, 5), (9, 40)), job(2, (0, 7))], 64, 8)
    assert ranges(batch) == [(3, 5), (9, 40), (0, 7)]
    assert [row.block_ids[0] for row in batch] == [100, 100, 200]
    assert batch[1].token_ids.tolist() == list(range(1009, 1040))


def test_a_large_gap_is_cut_anywhere_and_fills_each_batch():
    found = list(batches([job(1, (5, 8), (10, 31)), job(2, (2, 6))], 9, 8))
    assert [ranges(batch) for batch in found] == [
        [(5, 8), (10, 16)],
        [(16, 25)],
        [(25, 31), (2, 5)],
        [(5, 6)],
    ]


def test_no_batch_has_more_rows_than_it_may():
    found = list(batches([job(1, *((i, i + 1) for i in range(0, 10, 2)))], 64, 2))
    assert [ranges(batch) for batch in found] == [[(0, 1), (2, 3)], [(4, 5), (6, 7)], [(8, 9)]]


def test_nothing_to_compute_is_no_batch():
    assert list(batches([], 8, 8)) == []
    assert list(batches([job(1)], 8, 8)) == []


@st.composite
def jobs(draw):
    made = []
    for number in range(draw(st.integers(1, 3))):
        ends = sorted(draw(st.sets(st.integers(0, 90), min_size=2, max_size=8)))
        made.append(job(number, *zip(ends[::2], ends[1::2], strict=False)))
    return made


@given(jobs(), st.integers(1, 40), st.integers(1, 5))
def test_every_token_is_computed_once_in_order_and_within_the_limits(made, max_tokens, max_rows):
    found = list(batches(made, max_tokens, max_rows))
    computed = [token for batch in found for row in batch for token in row.token_ids]
    assert computed == list(itertools.chain.from_iterable(each.token_ids for each in made))
    for batch in found:
        assert all(row.tokens == len(row.token_ids) > 0 for row in batch)
        assert sum(row.tokens for row in batch) <= max_tokens
        assert len(batch) <= max_rows
    full = [
        sum(row.tokens for row in batch) == max_tokens or len(batch) == max_rows for batch in found
    ]
    assert all(full[:-1])


@pytest.mark.parametrize(
    ("gaps", "token_ids", "message"),
    [
        ([(0, 4)], (1, 2, 3), "gaps of job 7 have 4 tokens, but 3 token ids"),
        ([(4, 4)], (), r"gap \[4, 4\) of job 7 is empty or out of order"),
        ([(4, 6), (5, 7)], (1, 2, 3, 4), r"gap \[5, 7\) of job 7 is empty or out of order"),
        ([(-1, 1)], (1, 2), r"gap \[-1, 1\) of job 7"),
    ],
)
def test_a_job_that_contradicts_itself_is_refused(gaps, token_ids, message):
    with pytest.raises(ValueError, match=message):
        list(batches([GapJob(7, (0, 1), tuple(gaps), token_ids)], 8, 8))


def test_a_batch_is_laid_out_as_a_step():
    (rows,) = batches([job(1, (3, 5), (30, 34)), job(2, (15, 17))], 64, 8)
    batch = GapBatch.of(rows, BLOCK_TOKENS)
    assert (batch.rows, batch.tokens, batch.longest_row, batch.longest_context) == (3, 8, 4, 34)
    assert batch.token_ids.tolist() == [1003, 1004, 1030, 1031, 1032, 1033, 2015, 2016]
    assert batch.positions.tolist() == [3, 4, 30, 31, 32, 33, 15, 16]
    assert batch.row_starts.tolist() == [0, 2, 6, 8]
    assert batch.row_ends.tolist() == [5, 34, 17]
    assert batch.block_table.tolist() == [[100, 0, 0], [100, 101, 102], [200, 201, 0]]
    blocks = [100, 100, 101, 101, 102, 102, 200, 201]
    assert batch.slots.tolist() == [
        block * BLOCK_TOKENS + position % BLOCK_TOKENS
        for block, position in zip(blocks, batch.positions.tolist(), strict=True)
    ]


def test_the_arrays_have_the_dtypes_of_vllm():
    (rows,) = batches([job(1, (3, 5))], 64, 8)
    batch = GapBatch.of(rows, BLOCK_TOKENS)
    kinds = {name: array.dtype for name, array in vars(batch).items()}
    wide = dict.fromkeys(("positions", "slots"), np.int64)
    assert kinds == {**dict.fromkeys(kinds, np.int32), **wide}


def test_a_slot_beyond_two_to_the_31_is_not_cut():
    (rows,) = batches([GapJob(1, (1 << 28,), ((3, 4),), (5,))], 8, 8)
    assert GapBatch.of(rows, BLOCK_TOKENS).slots.tolist() == [(1 << 32) + 3]


def test_blocks_that_are_too_few_are_refused():
    (rows,) = batches([GapJob(1, (4,), ((15, 17),), (5, 6))], 8, 8)
    with pytest.raises(ValueError, match="17 tokens take 2 blocks of 16, not 1"):
        GapBatch.of(rows, BLOCK_TOKENS)
