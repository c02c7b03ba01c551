"""How long computing takes, through one or two measured rates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.errors import ConfigError
from kvtransfer.scheduling.cost.model import Prefill as Learned
from kvtransfer.simulate.break_even.speed import prefill_through


def test_one_rate_holds_for_every_length():
    prefill = prefill_through([(20_000.0, 0)])
    assert prefill.seconds(20_000) == prefill.seconds(20_000, 100_000) == pytest.approx(1.0)
    assert prefill_through([(20_000.0, 2048)]) == prefill


@given(
    short=st.integers(1, 10_000),
    more=st.integers(1, 200_000),
    rate=st.floats(100, 1e6),
    slower=st.floats(0, 0.9),
)
def test_both_rates_are_met_in_any_order(short, more, rate, slower):
    long = short + more
    other = rate / (1 + slower * more / short)
    prefill = prefill_through([(other, long), (rate, short)])
    assert prefill == prefill_through([(rate, short), (other, long)])
    assert short / prefill.seconds(short) == pytest.approx(rate)
    assert long / prefill.seconds(long) == pytest.approx(other)


def test_it_is_what_the_cost_model_learns_of_the_same_machine():
    prefill, learned = prefill_through([(20_000.0, 2048), (13_500.0, 32_768)]), Learned()
    for tokens, context_tokens in [(512, 0), (8192, 0), (2048, 30_000), (512, 60_000)] * 20:
        learned.observe(tokens, context_tokens, prefill.seconds(tokens, context_tokens))
    for tokens, context_tokens in [(256, 0), (4096, 8192), (100_000, 0)]:
        expected = prefill.seconds(tokens, context_tokens)
        assert learned.seconds(tokens, context_tokens) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "rates",
    [
        [(20_000.0, 2048), (21_000.0, 32_768)],
        [(20_000.0, 2048), (1_000.0, 4096)],
    ],
)
def test_rates_that_no_card_has_are_refused(rates):
    with pytest.raises(ConfigError, match=r"don't fit 20,000 at 2,048; longer prompts"):
        prefill_through(rates)
