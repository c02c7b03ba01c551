import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.scheduling.cost.linear_fit import LinearFit

SECONDS = st.floats(1e-6, 1e3)
TOKENS = st.integers(1, 100_000)


def test_a_line_is_found_through_what_lies_on_it():
    line = LinearFit(from_zero=False)
    for x in (100, 300, 200, 500):
        line.observe(x, 0.5 + 0.01 * x)
    assert line.at(1000) == pytest.approx(10.5)
    assert line.at(0) == pytest.approx(0.5)


def test_at_one_place_it_grows_from_zero_or_stays():
    loads, tokens = LinearFit(from_zero=True), LinearFit(from_zero=False)
    for line in (loads, tokens, loads, tokens):
        line.observe(100, 2.0)
    assert loads.at(300) == pytest.approx(6.0)
    assert tokens.at(300) == pytest.approx(2.0)


def test_times_neither_shrink_with_size_nor_start_below_zero():
    falling, early = LinearFit(from_zero=True), LinearFit(from_zero=True)
    for x, y in ((100, 5.0), (200, 1.0)):
        falling.observe(x, y)
    assert falling.at(0) == falling.at(1000) == pytest.approx(3.0, rel=0.1)
    for x, y in ((100, 1.0), (200, 5.0)):
        early.observe(x, y)
    assert early.at(0) == 0


def test_what_was_long_ago_is_forgotten():
    line = LinearFit(from_zero=True)
    for seconds in [10.0] * 50 + [1.0] * 60:
        line.observe(100, seconds)
    assert line.at(100) == pytest.approx(1.0, rel=0.1)


@given(st.lists(st.tuples(TOKENS, SECONDS), min_size=1, max_size=30), TOKENS)
def test_whatever_was_seen_a_guess_is_a_number(seen, tokens):
    line = LinearFit(from_zero=True)
    for x, y in seen:
        line.observe(x, y)
    guess = line.at(tokens)
    assert guess is not None
    assert math.isfinite(guess)
    assert guess >= 0
