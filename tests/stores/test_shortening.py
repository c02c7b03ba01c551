"""When chunks are made shorter: by the speed of the line and what making them shorter takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.stores.shortening import Rate, Shortening

CHUNK = 10_000_000
SHARE = 0.7
ENCODE_S, DECODE_S = 0.008, 0.004
MB = 1e6


def line(put_rate, fetch_rate, worth=False, encode_s=ENCODE_S, decode_s=DECODE_S, share=SHARE):
    """What was seen of a line, in bytes a second each way; None: nothing."""
    seen = Shortening(is_worth=worth)
    seen.encode_s.observe(CHUNK, encode_s)
    seen.decode_s.observe(CHUNK, decode_s)
    seen.share.observe(CHUNK, share * CHUNK)
    for rate, of_way in ((put_rate, seen.put_s), (fetch_rate, seen.fetch_s)):
        if rate:
            of_way.observe(CHUNK, CHUNK / rate)
    return seen


def test_a_slow_line_wants_shorter_chunks_and_a_fast_one_does_not():
    assert line(100 * MB, 100 * MB).decide()
    assert not line(2000 * MB, 2000 * MB).decide()


@pytest.mark.parametrize("slow", [(100 * MB, 2000 * MB), (2000 * MB, 100 * MB)])
def test_no_way_becomes_slower_for_the_other(slow):
    assert not line(*slow).decide()


@pytest.mark.parametrize(("rate", "expected"), [(100 * MB, True), (2000 * MB, False)])
def test_of_one_way_alone_it_judges_as_of_both(rate, expected):
    assert line(rate, None).decide() == line(None, rate).decide() == expected


def test_without_a_line_or_a_trial_nothing_changes():
    assert not line(None, None).decide()
    untried = Shortening()
    untried.put_s.observe(CHUNK, 1.0)
    assert untried.relative_time() is None
    assert not untried.decide()


def test_chunks_that_do_not_become_shorter_are_left():
    assert not line(10 * MB, 10 * MB, worth=True, share=1.15).decide()


def test_what_is_in_use_is_slow_to_change():
    near = line(375 * MB, 375 * MB)  # all but as soon either way
    assert near.relative_time() == pytest.approx(1.0, abs=0.001)
    assert not near.decide()
    near.is_worth = True
    assert near.decide()
    assert line(260 * MB, 260 * MB, worth=False).relative_time() == pytest.approx(0.908, abs=0.001)
    assert not line(260 * MB, 260 * MB).decide()
    assert not line(520 * MB, 520 * MB, worth=True).decide()


def test_a_line_that_becomes_faster_is_noticed_and_one_that_becomes_slower_again():
    seen = line(50 * MB, 50 * MB)
    assert seen.decide()
    for rate, expected in ((5000 * MB, False), (50 * MB, True)):
        for _ in range(60):
            seen.put_s.observe(CHUNK, CHUNK / rate)
            seen.fetch_s.observe(CHUNK, CHUNK / rate)
        assert seen.decide() == expected


def test_two_chunks_are_tried():
    seen = Shortening()
    assert [seen.take_trial() for _ in range(4)] == [True, True, False, False]


@given(st.lists(st.tuples(st.integers(1, 10**9), st.floats(0, 1e3)), min_size=1))
def test_a_rate_lies_between_those_that_were_seen(seen):
    rate = Rate()
    for nbytes, amount in seen:
        rate.observe(nbytes, amount)
    rates = [amount / nbytes for nbytes, amount in seen]
    assert min(rates) * (1 - 1e-9) <= rate.known <= max(rates) * (1 + 1e-9)


def test_a_rate_is_unknown_at_first():
    assert Rate().known is None
