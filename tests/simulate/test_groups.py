"""Pieces of several cache groups in a replay: what a window or a state costs, and is worth."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from kvtransfer.chunks.reach import Everything, LocalChunks, State, Window
from kvtransfer.simulate.arguments import reaches
from kvtransfer.simulate.grid import Machine, replayed
from kvtransfer.simulate.replay import Hierarchy, Sizes
from kvtransfer.simulate.request import Request

SPEEDS = {"host": 1e9, "disk": 1e6, "remote": 1e4}


def machine(text):
    return Machine(10, 100, 1000.0, SPEEDS, reaches(text))


def hierarchy(text, **sizes):
    return Hierarchy(Sizes(**sizes), "lru", machine(text).groups)


def test_a_window_takes_the_slots_of_its_end_alone():
    tiers = hierarchy("full,window:15", host=8)
    tiers.serve("abcdef", 65)
    assert tiers.written == Counter(host=8)  # six of full attention, two of the window
    served = tiers.serve("abcdef", 65)
    assert served.hits == Counter(host=6)
    assert served.pieces == Counter(host=8)


def test_a_state_is_found_only_where_a_prompt_ended():
    tiers = hierarchy("full,state", host=20)
    tiers.serve("abcd", 45)
    assert tiers.serve("abcdef", 65).hits == Counter(host=4)
    assert tiers.serve("abx", 35).hits == Counter()


def test_the_last_token_is_computed_although_its_chunk_is_whole():
    tiers = hierarchy("full,state", host=20)
    tiers.serve("abcd", 40)
    assert tiers.serve("abcd", 40).hits == Counter(host=3)


def test_a_state_without_its_attention_is_no_hit():
    tiers = hierarchy("full,state", host=5)
    tiers.serve("abcd", 45)
    tiers.serve("x", 15)  # takes two of the five slots
    assert tiers.serve("abcd", 45).hits == Counter()


def test_a_chunk_comes_from_the_slowest_tier_of_its_pieces():
    tiers = hierarchy("full,state", host=2, remote=20)
    tiers.serve("abcd", 45)
    served = tiers.serve("abcd", 45)
    assert served.hits["remote"] >= 2
    assert served.hits.total() == 4
    assert served.pieces.total() == 5


def test_windows_serve_more_from_the_same_memory_than_every_layer_whole():
    prompts = [[f"{prompt}.{i}" for i in range(20)] for prompt in range(6)]
    trace = [Request(prompt, 205) for _ in range(3) for prompt in prompts]
    rates = {}
    for text in ("full,window:15*5", "full*6"):
        (outcome,) = replayed(trace, [Sizes(host=200)], ["lru"], machine(text))
        rates[text] = outcome.hit_rate
    assert rates["full,window:15*5"] == pytest.approx(2 / 3)  # all but the first time
    assert rates["full*6"] == 0.0


def test_the_optimum_of_several_groups_is_not_known():
    trace = [Request(["a", "b"], 25)]
    (outcome,) = replayed(trace, [Sizes(host=8)], ["lru"], machine("full,state"))
    assert math.isnan(outcome.optimal_rate)


def test_groups_are_written_in_a_few_words():
    assert reaches("full") == (Everything(),)
    assert reaches("full,window:1024*2") == (Everything(), Window(1024), Window(1024))
    assert reaches("state*3,local:64") == (State(),) * 3 + (LocalChunks(64),)


@pytest.mark.parametrize("text", ["", "half", "window", "full:3", "window:0", "full*0", "full,"])
def test_what_is_no_group_is_refused_with_what_to_write(text):
    with pytest.raises(ValueError, match=r"write full, state, window:TOKENS or local:TOKENS"):
        reaches(text)
