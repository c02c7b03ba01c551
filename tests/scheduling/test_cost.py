import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.scheduling.cost import Cost, Line, Prefill

SECONDS = st.floats(1e-6, 1e3)
TOKENS = st.integers(1, 100_000)


def test_a_line_is_found_through_what_lies_on_it():
    line = Line(from_zero=False)
    for x in (100, 300, 200, 500):
        line.observe(x, 0.5 + 0.01 * x)
    assert line.at(1000) == pytest.approx(10.5)
    assert line.at(0) == pytest.approx(0.5)


def test_at_one_place_it_grows_from_zero_or_stays():
    loads, tokens = Line(from_zero=True), Line(from_zero=False)
    for line in (loads, tokens, loads, tokens):
        line.observe(100, 2.0)
    assert loads.at(300) == pytest.approx(6.0)
    assert tokens.at(300) == pytest.approx(2.0)


def test_times_neither_shrink_with_size_nor_start_below_zero():
    falling, early = Line(from_zero=True), Line(from_zero=True)
    for x, y in ((100, 5.0), (200, 1.0)):
        falling.observe(x, y)
    assert falling.at(0) == falling.at(1000) == pytest.approx(3.0, rel=0.1)
    for x, y in ((100, 1.0), (200, 5.0)):
        early.observe(x, y)
    assert early.at(0) == 0


def test_what_was_long_ago_is_forgotten():
    line = Line(from_zero=True)
    for seconds in [10.0] * 50 + [1.0] * 60:
        line.observe(100, seconds)
    assert line.at(100) == pytest.approx(1.0, rel=0.1)


@given(st.lists(st.tuples(TOKENS, SECONDS), min_size=1, max_size=30), TOKENS)
def test_whatever_was_seen_a_guess_is_a_number(seen, tokens):
    line = Line(from_zero=True)
    for x, y in seen:
        line.observe(x, y)
    guess = line.at(tokens)
    assert guess is not None
    assert math.isfinite(guess)
    assert guess >= 0


def test_context_makes_prefill_dearer():
    prefill = Prefill()
    for context in (0, 512, 1024, 1536) * 3:
        prefill.observe(512, context, 512 * (0.001 + 1e-6 * (context + 256)))
    whole = prefill.seconds(2048, 0)
    assert whole == pytest.approx(2048 * (0.001 + 1e-6 * 1024), rel=0.01)
    assert prefill.seconds(512, 1536) > prefill.seconds(512, 0)


def learnt(load_token_s, compute_token_s=0.001, margin=1.0):
    cost = Cost(("store",), margin)
    for tokens in (256, 512, 1024):
        cost.prefill.observe(tokens, 0, tokens * compute_token_s)
        cost.observe_load("store", tokens, tokens * load_token_s, failed=False)
    return cost


def test_what_nobody_knows_is_tried():
    cost = Cost(("store",), 1.0)
    assert cost.pays("store", 256, 0)
    cost.prefill.observe(256, 0, 1e-9)
    assert cost.pays("store", 256, 0)


@pytest.mark.parametrize(
    ("load_token_s", "margin", "pays"),
    [(0.0009, 1.0, True), (0.0011, 1.0, False), (0.0011, 1.2, True), (0.0013, 1.2, False)],
)
def test_the_faster_way_wins_by_the_margin(load_token_s, margin, pays):
    assert learnt(load_token_s, margin=margin).pays("store", 512, 0) is pays


def test_two_slow_failures_in_a_row_are_enough():
    cost = learnt(0.0001)
    for pays in (True, False):
        cost.observe_load("store", 512, 0.3, failed=True)
        assert cost.pays("store", 512, 0) is pays


def test_a_tier_that_only_failed_is_not_tried_for_long():
    cost = Cost(("store",), 1.1)
    cost.prefill.observe(1024, 0, 4.4)
    for pays in (True, False):
        cost.observe_load("store", 1024, 2.1, failed=True)
        assert cost.pays("store", 1024, 0) is pays


def test_what_is_not_there_after_all_costs_nothing():
    cost = learnt(0.0001, margin=1.1)
    for _ in range(10):
        cost.observe_load("store", 512, 0.001, failed=True)
        assert cost.pays("store", 512, 0)


def test_a_refused_tier_comes_back_when_it_is_clearly_better():
    cost = learnt(0.0011)
    assert not cost.decide("store", 512, 0)
    for _ in range(60):
        cost.observe_load("store", 256, 256 * 0.0009, failed=False)
    assert not cost.decide("store", 512, 0)  # better, but not by much: no swinging
    for _ in range(60):
        cost.observe_load("store", 256, 256 * 0.0005, failed=False)
    assert cost.decide("store", 512, 0)
    assert not cost.take_probe("store", 1e9)


def test_probes_get_rarer_while_nothing_changes():
    cost = learnt(0.1)
    assert not cost.take_probe("store", 0.0)
    assert not cost.decide("store", 512, 0)
    asked = [second for second in range(3600) if cost.take_probe("store", float(second))]
    assert asked[:5] == [0, 2, 6, 14, 30]
    assert len(asked) <= 3600 / 60 + 6


@given(st.lists(st.tuples(st.booleans(), st.floats(0.5, 2.0)), max_size=200))
def test_noise_around_the_limit_does_not_make_it_waver(noise):
    cost = learnt(0.001 * 0.9)
    changes, last = 0, cost.decide("store", 512, 0)
    for _, factor in noise:
        if last:  # it is used, so it is seen; the noise is the machine's
            cost.observe_load(
                "store", 512, 512 * 0.0009 * (0.95 + 0.1 * (factor - 0.5) / 1.5), failed=False
            )
        pays = cost.decide("store", 512, 0)
        changes, last = changes + (pays != last), pays
    assert changes <= 1


@given(st.lists(st.tuples(TOKENS, TOKENS, st.floats(0, 1e3)), max_size=20), st.booleans())
def test_asking_changes_no_answer(asked, is_refused):
    cost, unasked = (learnt(0.0011 if is_refused else 0.00095) for _ in range(2))
    for judge in (cost, unasked):
        judge.decide("store", 512, 0)
    for tokens, context_tokens, wait_s in asked:
        cost.pays("store", tokens, context_tokens, wait_s)
    for tokens in (1, 256, 512, 100_000):
        assert cost.pays("store", tokens, 0) == unasked.pays("store", tokens, 0)
    assert cost.take_probe("store", 1e9) == unasked.take_probe("store", 1e9) == is_refused
