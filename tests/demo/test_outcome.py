from dataclasses import replace

import pytest

from demo.engine import Answer
from demo.outcome import Outcome, Run

COLD = Answer([7, 8, 9], 10.0, 2064, restored_tokens=0, local_tokens=0, fetched_bytes=0)
RESTORED = replace(COLD, ttft_s=0.5, restored_tokens=2048, fetched_bytes=94_371_840)
LOCAL_HIT = replace(COLD, ttft_s=0.25, local_tokens=2048)
RUN = Run(COLD, RESTORED, LOCAL_HIT)


def problems(run):
    return Outcome(2048, (RUN, run)).problems()


def test_all_is_well():
    assert problems(RUN) == []


@pytest.mark.parametrize("way", ["cold", "restored", "local_hit"])
@pytest.mark.parametrize(
    ("token_ids", "place"), [([7, 8, 1], 3), ([1, 8, 9], 1), ([7, 8], 3), ([7, 8, 9, 9], 4)]
)
def test_one_other_token_anywhere_is_told(way, token_ids, place):
    run = replace(RUN, **{way: replace(getattr(RUN, way), token_ids=token_ids)})
    assert problems(run) == [f"Run 2 gave different answers, from token {place} on."]
    assert not Outcome(2048, (RUN, run)).to_json()["identical"]


@pytest.mark.parametrize("tokens", [0, 1792])
def test_a_text_not_wholly_restored_is_told(tokens):
    run = replace(RUN, restored=replace(RESTORED, restored_tokens=tokens))
    assert problems(run) == [f"Run 2 restored {tokens:,} tokens from Redis instead of 2,048."]


def test_a_baseline_that_was_not_cold_is_told():
    (problem,) = problems(replace(RUN, cold=replace(COLD, local_tokens=32)))
    assert problem == "Run 2 found something cached where nothing should have been."


def test_the_figures_are_medians():
    slow = replace(RUN, cold=replace(COLD, ttft_s=99.0), restored=replace(RESTORED, ttft_s=9.0))
    fast = replace(RUN, cold=replace(COLD, ttft_s=1.0), restored=replace(RESTORED, ttft_s=0.1))
    assert Outcome(2048, (slow, RUN, fast)).to_json() == {
        "identical": True,
        "prompt_tokens": 2064,
        "restored_tokens": 2048,
        "bytes": 94_371_840,
        "ttft_cold_s": 10.0,
        "ttft_restored_s": 0.5,
        "ttft_local_hit_s": 0.25,
        "runs": 3,
    }


def test_what_was_computed_is_what_is_left():
    assert [a.computed_tokens for a in (COLD, RESTORED, LOCAL_HIT)] == [2064, 16, 16]
