"""From which context length on a load pays, against arithmetic by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.simulate.break_even.model import model_of
from kvtransfer.simulate.break_even.speed import Link, Prefill
from kvtransfer.simulate.break_even.verdict import Machine, verdicts
from tests.simulate.break_even.configs import DELTA_NET, LLAMA, MLA, WINDOWS, config

TOKEN_BYTES = 131_072
BUS = Link("host", 50e9)


def judged(*links, codec="naive", fields=LLAMA, ranks=1, prefill=None, margin=1.0):
    """The verdict on the last of ``links``, or on the bus."""
    machine = Machine(prefill or Prefill(50e-6), BUS, links, margin)
    return list(verdicts(model_of(config(fields), ranks=ranks), machine, [codec]))[-1]


def test_a_chunk_takes_its_bytes_over_the_line():
    assert judged(Link("remote", 1e9)).chunk_s == pytest.approx(256 * TOKEN_BYTES / 1e9)
    assert judged().chunk_s == pytest.approx(256 * TOKEN_BYTES / 50e9)


def test_the_slower_of_line_and_bus_counts():
    assert judged(Link("remote", 100e9)).chunk_s == judged().chunk_s


def test_without_attention_in_the_prefill_a_line_pays_always_or_never():
    """20,000 tokens/s by 128 KiB are 2.62 GB/s."""
    assert judged(Link("remote", 2.63e9)).pays_from == 256
    assert judged(Link("remote", 2.61e9)).pays_from is None
    assert judged(Link("remote", 2.39e9), margin=1.1).pays_from == 256
    assert judged(Link("remote", 1.4e9), codec="int8").pays_from == 256


def test_with_it_a_slow_line_pays_for_long_contexts():
    """A load of n tokens takes 2 x 1 ms + n x 131 us, computing them n x (50 us + 2 ns x n / 2)."""
    verdict = judged(Link("remote", 1e9, 1e-3), prefill=Prefill(50e-6, 2e-9))
    assert verdict.pays_from == 81_152  # 317 chunks; at 81,072 + 25 both take as long
    assert verdict.longest_s == pytest.approx(2e-3 + 131_072 * 131.072e-6)


def test_round_trips_cost_the_first_tokens():
    assert (
        judged(Link("remote", 100e9, 0.1)).pays_from == 4352
    )  # 2 x 0.1 s are 4,000 tokens, and their load


def test_states_are_loaded_before_anything_is_saved():
    """24 states of 1.1 MB over 1 GB/s take 26 ms; 272 tokens are computed in 14."""
    verdict = judged(Link("remote", 1e9), fields=DELTA_NET)
    assert verdict.pays_from == 272 * 6
    assert verdict.chunk_s == pytest.approx(272 * 32_768 / 1e9)


def test_all_ranks_share_the_line_and_each_has_a_bus():
    link = Link("remote", 1e9)
    assert judged(link, ranks=4).chunk_s == judged(link).chunk_s
    assert judged(ranks=4).chunk_s == judged().chunk_s / 4
    assert judged(link, ranks=4, fields=MLA).chunk_s == 4 * judged(link, fields=MLA).chunk_s


def test_lossless_shrinks_what_crosses_the_line_and_not_the_bus():
    link = Link("remote", 1e9)
    times = judged(link).chunk_s / judged(link, codec="lossless").chunk_s
    assert times == pytest.approx(1.456)
    assert judged(codec="lossless").chunk_s == judged().chunk_s


@given(
    fields=st.sampled_from([LLAMA, MLA, WINDOWS]),
    gb_s=st.floats(0.05, 20),
    token_s=st.floats(1e-5, 1e-3),
    growing=st.floats(0, 5e-9),
    codec=st.sampled_from(["int8", "int5", "int4"]),
)
def test_fewer_bytes_never_pay_later(fields, gb_s, token_s, growing, codec):
    link, prefill = Link("remote", gb_s * 1e9), Prefill(token_s, growing)
    plain = judged(link, fields=fields, prefill=prefill).pays_from
    encoded = judged(link, fields=fields, prefill=prefill, codec=codec).pays_from
    assert plain is None or (encoded is not None and encoded <= plain)
