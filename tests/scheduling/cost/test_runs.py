from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.scheduling.cost.runs import Run, leading, runs_of, tokens_by_tier, total_tokens

TIERS = st.lists(st.sampled_from(["host", "disk", "remote"]))


def test_neighbours_of_one_tier_are_one_run_and_the_first_loses_what_needs_no_load():
    tiers = ["host", "host", "remote", "disk", "disk", "host"]
    assert runs_of(tiers, 256, 16) == [
        ("host", 496),
        ("remote", 256),
        ("disk", 512),
        ("host", 256),
    ]
    assert runs_of([], 256, 16) == []


def test_the_leading_tokens_may_end_within_a_run():
    runs = [Run("host", 496), Run("disk", 512)]
    assert leading(runs, 600) == [("host", 496), ("disk", 104)]
    assert leading(runs, 496) == [("host", 496)]
    assert leading(runs, 9999) == runs
    assert leading(runs, 0) == []


@given(TIERS, st.integers(1, 8), st.data())
def test_no_token_is_lost_or_counted_twice(tiers, chunk_tokens, data):
    skip_tokens = data.draw(st.integers(0, chunk_tokens - 1)) if tiers else 0
    runs = runs_of(tiers, chunk_tokens, skip_tokens)
    assert all(run.tokens for run in runs)
    assert all(a.tier != b.tier for a, b in pairwise(runs))
    whole = len(tiers) * chunk_tokens - skip_tokens
    assert total_tokens(runs) == sum(tokens_by_tier(runs).values()) == whole
    tokens = data.draw(st.integers(0, whole))
    assert total_tokens(leading(runs, tokens)) == tokens
