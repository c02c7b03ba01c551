"""What the scheduler's side believes of its workers' weights, report by report."""

from __future__ import annotations

import pytest

from kvtransfer.requests.keys.agreed_weights import AgreedWeights
from kvtransfer.requests.keys.local_cache import LocalCache
from kvtransfer.requests.keys.weights import UNKNOWABLE, Holding, weights_name


@pytest.fixture
def weights():
    """Of two workers, which have told theirs with the first plan."""
    agreed = AgreedWeights(2)
    plan = agreed.expect().plan
    agreed.take({0: Holding("a", plan), 1: Holding("b", plan)})
    return agreed


def test_they_are_known_when_every_rank_has_told_them():
    agreed = AgreedWeights(2)
    assert agreed.expect() == (1, None, False)
    agreed.take({1: Holding("b", 1)})
    assert agreed.by_rank is None
    agreed.take({0: Holding("a", 1)})
    assert agreed.expect() == (2, ("a", "b"), False)


def test_a_question_is_answered_by_what_was_checked_after_it(weights):
    under_way = weights.expect().plan
    weights.ask()
    weights.take({0: Holding("a", under_way), 1: Holding("b", under_way)})
    assert weights.by_rank is None
    asking = weights.expect()
    assert asking.by_rank is None
    weights.take({0: Holding("a", asking.plan), 1: Holding("c", asking.plan)})
    assert weights.by_rank == ("a", "c")


def test_workers_read_again_only_when_told_to_and_until_they_have(weights):
    weights.ask_to_reread()
    assert weights.expect().reread
    asking = weights.expect()
    assert asking.reread
    weights.take({0: Holding("a", asking.plan), 1: Holding("b", asking.plan)})
    assert not weights.expect().reread
    weights.ask()
    assert not weights.expect().reread


def test_a_plan_fits_the_worker_that_holds_what_was_expected(weights):
    expected = weights.expect()
    assert expected.fits(0, "a")
    assert not expected.fits(1, "a")
    weights.ask()
    assert not weights.expect().fits(0, "a")


def test_every_rank_counts_in_the_name():
    names = {weights_name(ranks) for ranks in (("a", "b"), ("b", "a"), ("a",), ("a", "b", "a"))}
    assert len(names - {None}) == 4
    assert weights_name(("a", "a")) == weights_name(("a",))
    assert weights_name(("a", UNKNOWABLE)) is None


@pytest.mark.parametrize(
    ("resets_after", "changed_in", "is_stale"),
    [
        ([], 1, False),  # nothing was computed before
        ([], 3, True),
        ([2], 3, False),  # nothing was computed between the reset and the change
        ([1], 3, True),  # the second plan's blocks are of the old weights
        ([4], 3, False),
    ],
)
def test_the_local_cache_is_stale_while_it_may_hold_blocks_of_other_weights(
    resets_after, changed_in, is_stale
):
    agreed = AgreedWeights(1)
    cache = LocalCache(agreed)
    for plan in range(1, 6):
        agreed.expect()
        if plan == changed_in:
            cache.change_weights(plan)
        if plan in resets_after:
            cache.note_reset()
    assert cache.is_stale is is_stale
