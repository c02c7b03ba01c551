"""The search against trying every split, on worths that grow with each tier and with what it holds."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.simulate.budget.search import LEVELS, Search, coarse, most_splits

WEIGHTS = st.lists(st.integers(0, 50), min_size=3, max_size=3)


def every(tiers):
    return [each for each in product(range(LEVELS + 1), repeat=tiers) if sum(each) <= LEVELS]


def concave(weights):
    """Each unit of a tier brings less than the one before it, as hits do."""
    return lambda split: sum(w * n**0.5 for w, n in zip(weights, split, strict=True))


def searched(tiers, worth, bound=lambda split: float("inf")):
    asked = []

    def counted(split):
        asked.append(split)
        return worth(split)

    return Search(tiers, counted, bound).run(), asked


@given(weights=WEIGHTS)
def test_on_worths_without_steps_nearly_the_best_is_found(weights):
    worth = concave(weights)
    found, asked = searched(3, worth)
    for units, split in enumerate(found):
        assert sum(split) <= units
        best = max(worth(each) for each in every(3) if sum(each) <= units)
        assert worth(split) >= 0.9 * best
    assert len(asked) == len(set(asked)) <= most_splits(3)


def test_the_best_quarters_are_found_even_where_worths_have_steps():
    """A loop of texts that fits brings all at once: a climb from nothing would never begin."""
    found, _ = searched(2, lambda split: 100.0 * (split[1] >= 6) + split[0])
    assert found[8] == (2, 6)
    assert found[5] == (5, 0)


@given(weights=WEIGHTS)
def test_a_bound_saves_replays_and_changes_nothing_but_that(weights):
    worth = concave(weights)
    with_bound, fewer = searched(3, worth, bound=worth)
    without, asked = searched(3, worth)
    assert [worth(split) for split in with_bound] == [worth(split) for split in without]
    assert len(fewer) <= len(asked)


def test_money_that_brings_nothing_stays_unspent():
    found, _ = searched(2, lambda split: float(min(split[0], 2)))
    assert found == [(0, 0), (1, 0)] + [(2, 0)] * (LEVELS - 1)


def test_more_money_never_brings_less():
    found, _ = searched(1, lambda split: [0, 5, 3, 4, 9, 2, 1, 8, 7][split[0]])
    assert [split[0] for split in found] == [0, 1, 1, 1, 4, 4, 4, 4, 4]


@pytest.mark.parametrize(("tiers", "count"), [(1, 4), (2, 14), (3, 34)])
def test_the_first_pass_has_all_quarters(tiers, count):
    assert len(list(coarse(tiers))) == count
