"""Gaps are exact on two ranks and beside a compiled model; a model with windows says why not."""

from __future__ import annotations

import pytest

from tests.connector.blend_exactness import EXACT, NOTICED, Exactness, request
from tests.connector.inputs import connected, prompt
from tests.connector.models.alike import assert_alike
from tests.connector.models.kinds import GEMMA3
from tests.connector.models.tiny import TinyModel
from tests.connector.plain_vllm import PlainVllm

pytestmark = pytest.mark.vllm

TWO_RANKS = {"tensor_parallel_size": 2}
COMPILED = {"enforce_eager": False, "block_size": 128}  # inductor for CPUs takes no smaller block


def check(exactness):
    for seed, first in enumerate((0, 7, 1000)):
        exactness.check_gaps(seed, first)
    assert exactness.noise_in_a_passage(seed=10) > NOTICED
    assert exactness.noise_in_a_gap(seed=11) <= EXACT


def test_on_two_ranks(engines, model, plain):
    with engines.start(connected(model, None, options=TWO_RANKS)) as engine:
        check(Exactness(engine, plain))


def test_beside_a_compiled_model(engines, model, plain):
    chunk_tokens = COMPILED["block_size"]
    setup = connected(model, None, options=COMPILED, chunk_size=chunk_tokens)
    with engines.start(setup) as engine:
        check(Exactness(engine, plain, chunk_tokens))
        assert "'backend': 'inductor'" in engine.log()


def test_a_model_with_windows_answers_as_vllm_does_and_says_why(v1_engines, tmp_path):
    tiny = TinyModel.write(GEMMA3, tmp_path)
    ids = prompt(300)
    moved = [*prompt(20, seed=1), *ids, 1]
    with v1_engines.start(tiny.plain()) as engine:
        right = PlainVllm(engine)
        expected = [right.generate(request(each)) for each in (ids, moved)]
    with v1_engines.start(tiny.connected(None)) as engine:
        outcomes = [engine.generate(request(each, first=16)) for each in (ids, moved)]
    for outcome, each in zip(outcomes, expected, strict=True):
        assert_alike(outcome, each)
        assert "windows" in outcome.blends[0]["refused"]
