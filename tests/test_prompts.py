from __future__ import annotations

import random
from collections import deque

import pytest

from kvtransfer.prompts import arrange


def test_the_longest_known_beginning_comes_first_and_the_latest_of_equal_ones():
    known = [["b", "a", "x"], ["c", "b", "a", "d"], ["a", "b"]]
    assert arrange(["a", "b", "c", "e"], known) == ["c", "b", "a", "e"]
    assert arrange(["a", "b", "e"], known) == ["a", "b", "e"]
    assert arrange(["a", "b", "e"], known[:1]) == ["b", "a", "e"]


def test_the_rest_follows_by_use_and_then_in_one_order():
    known = [["z", "y"], ["x", "y"]]
    assert arrange(["a", "b", "y", "z"], known) == ["z", "y", "a", "b"]
    assert arrange(["b", "y", "a"], known) == ["y", "a", "b"]
    assert arrange([3, 1, 2]) == [1, 2, 3]
    assert arrange([], known) == []


def test_long_passages_count_more_where_lengths_are_given():
    known = [["aaaaaaaa"], ["b", "c"]]
    assert arrange(["b", "c", "aaaaaaaa"], known)[:2] == ["b", "c"]
    assert arrange(["b", "c", "aaaaaaaa"], known, length=len)[0] == "aaaaaaaa"


@pytest.mark.parametrize("seed", range(30))
def test_the_passages_stay_the_same_and_so_does_their_order(seed):
    chance = random.Random(seed)
    known = [[chance.randrange(6) for _ in range(4)] for _ in range(10)]
    passages = [chance.randrange(6) for _ in range(5)]
    order = arrange(passages, iter(known))
    assert sorted(order) == sorted(passages)
    assert arrange(chance.sample(passages, 5), known) == order


def shared_share(ordered, prompts):
    """Which share of passages lies in a beginning that a prompt before had."""
    seen, shared = set(), 0
    for order in map(tuple, map(ordered, prompts)):
        shared += max(
            count for count in range(len(order) + 1) if not count or order[:count] in seen
        )
        seen |= {order[:count] for count in range(1, len(order) + 1)}
    return shared / sum(map(len, prompts))


def test_arranged_prompts_share_more_than_sorted_or_given_ones():
    chance = random.Random(0)
    weights = [1 / (rank + 1) for rank in range(40)]
    names = chance.sample(range(40), 40)
    prompts = []
    for _ in range(600):
        drawn = dict.fromkeys(chance.choices(names, weights, k=12))
        prompts.append(list(drawn)[:4])
    seen = deque(maxlen=600)

    def arranged(passages):
        seen.append(arrange(passages, seen))
        return seen[-1]

    given, by_name = shared_share(list, prompts), shared_share(sorted, prompts)
    assert shared_share(arranged, prompts) > 1.1 * max(given, by_name)
