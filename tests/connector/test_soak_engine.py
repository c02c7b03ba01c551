"""A few storms over a whole engine; ``make soak`` has hundreds of them."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace

import pytest

from tests.connector.ground import Ground
from tests.connector.models.tiny import TinyModel
from tests.connector.soak_engine import ENGINE_KILLED, RESET, WEIGHTS_REPLACED, WELL, Storm, outcome
from tests.faults.arena import Wrong
from tests.faults.known import FAULTS

pytestmark = pytest.mark.vllm

SEED = 20260102
BY_NAME = {fault.name: fault for fault in FAULTS}
CHOSEN = [
    *(
        BY_NAME[name]
        for name in (
            "killed",
            "stopped",
            "reset",
            "delayed for too long",
            "bit 60 flipped",
            "flushed",
            "last bit",
            "payload no string",
        )
    ),
    RESET,
    WEIGHTS_REPLACED,
    ENGINE_KILLED,
]


@pytest.fixture(scope="module")
def ground(engines, model):
    with closing(Ground(engines, TinyModel(model))) as opened:
        yield opened


@pytest.mark.parametrize("number", range(len(CHOSEN)), ids=[fault.name for fault in CHOSEN])
def test_a_storm_over_an_engine(ground, number):
    chance = ground.chance = random.Random(f"{SEED}/{number}")
    seen = outcome(ground, Storm.drawn(chance, number, CHOSEN[number]))
    assert seen["outcome"] == WELL


def test_another_answer_is_found_out(ground):
    storm = Storm.drawn(random.Random(SEED), 0)
    requests = list(storm.requests[:2])
    ours = ground.engine.generate(*requests)
    ground.check(requests, ours, set())
    first, second = ours.answers
    for answers in ([first, [*second[:-1], second[-1] ^ 1]], [first, []]):
        with pytest.raises(Wrong, match="request 1"):
            ground.check(requests, replace(ours, answers=answers), {0})
