"""A few rounds of blended requests among plain ones; ``make soak`` has a thousand requests."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import pytest

from tests.connector.mixed_requests import Round
from tests.connector.soak_blend import Mixing, Wrong, soak
from tests.connector.vllm_variants import V1, V2

pytestmark = pytest.mark.vllm

SEED = 20261129


@pytest.fixture(scope="module")
def mixing(engines, model, plain):
    with closing(Mixing.start(engines, model, plain)) as opened:
        yield opened


@pytest.mark.parametrize(("engines", "requests"), [(V1, 40), (V2, 16)], indirect=["engines"])
def test_plain_answers_are_those_of_vllm_whatever_runs_beside(mixing, requests):
    seen = sum(soak(mixing, SEED, requests), Counter())
    assert seen["blended"]
    assert seen["plain"]
    assert seen["preemptions"] or requests < 40


def wrong(mixing, number):
    """What is wrong about the answers of a round; plain ones are judged first."""
    try:
        mixing.run(Round.drawn(SEED, number))
    except Wrong as found:
        return str(found)
    return ""


@pytest.mark.parametrize("engines", [V1], indirect=True)
def test_without_private_hashes_a_plain_answer_differs(mixing):
    mixing.engine.share_hashes(share=True)
    try:
        assert any("plain" in wrong(mixing, number) for number in range(30))
    finally:
        mixing.engine.share_hashes(share=False)
        mixing.engine.reset()


def test_a_round_is_drawn_alike_each_time():
    assert Round.drawn(1, 2) == Round.drawn(1, 2) != Round.drawn(1, 3)
