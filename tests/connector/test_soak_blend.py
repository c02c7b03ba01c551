"""A few rounds of blended requests among plain ones; ``make soak`` has a thousand requests."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import pytest

from tests.connector.mixed_requests import Round
from tests.connector.soak_blend import Mixing, Wrong, soak

pytestmark = pytest.mark.vllm

SEED = 20261129


@pytest.fixture(scope="module")
def mixing(engines, model, plain):
    with closing(Mixing.start(engines, model, plain)) as opened:
        yield opened


def test_plain_answers_are_those_of_vllm_whatever_runs_beside(mixing):
    seen = sum(soak(mixing, SEED, requests=40), Counter())
    assert seen["blended"] >= 4
    assert seen["plain"] >= 10
    assert seen["aborted"]
    assert seen["preemptions"]


def wrong(mixing, number):
    """What is wrong about the answers of a round; plain ones are judged first."""
    try:
        mixing.run(Round.drawn(SEED, number))
    except Wrong as found:
        return str(found)
    return ""


def test_without_private_hashes_a_plain_answer_differs(mixing):
    mixing.engine.share_hashes(share=True)
    try:
        assert any("plain" in wrong(mixing, number) for number in range(30))
    finally:
        mixing.engine.share_hashes(share=False)
        mixing.engine.reset()


def test_a_round_is_drawn_alike_each_time():
    assert Round.drawn(1, 2) == Round.drawn(1, 2) != Round.drawn(1, 3)
