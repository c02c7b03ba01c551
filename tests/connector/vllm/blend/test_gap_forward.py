"""What a forward of ours writes for gaps is what vLLM has computed there, on both model runners."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from tests.connector.engine_process import Request, Setup
from tests.connector.inputs import prompt

pytestmark = pytest.mark.vllm

PROMPT_TOKENS, BLOCK_TOKENS, MAX_TOKENS, MAX_ROWS = 200, 32, 64, 4
EXACT, WRONG = 1e-5, 1e-2
OPTIONS = {
    "worker_extension_cls": "tests.connector.vllm.blend.blend_worker.BlendWorker",
    "max_num_batched_tokens": MAX_TOKENS,
    "max_num_seqs": MAX_ROWS,
}
UNUSED_BLOCKS = [400, 401]
ODD = [[0, 37], [64, 65], [99, 150], [151, 152], [155, 199]]
FEW = [[33, 50], [64, 65], [99, 130]]


@pytest.fixture(scope="module")
def engine(engines, model):
    with engines.start(Setup(model, options=OPTIONS)) as running:
        yield running


@contextmanager
def computed(engine, *seeds, block_tokens=BLOCK_TOKENS):
    """Requests whose prompts ``engine`` has computed, and which it would go on to answer."""
    prompts = [prompt(PROMPT_TOKENS, seed=seed) for seed in seeds]
    names = engine.submit(*(Request(ids, answer_tokens=50) for ids in prompts))
    for _ in range(len(seeds) * -(-PROMPT_TOKENS // MAX_TOKENS) + 2):
        engine.step()
    blocks = -(-PROMPT_TOKENS // block_tokens)
    yield [
        {"prompt": ids, "block_ids": engine.block_ids(name)[:blocks]}
        for ids, name in zip(prompts, names, strict=True)
    ]
    engine.abort(*names)
    engine.run()


@pytest.mark.parametrize(
    ("gaps", "forwards"),
    [
        (FEW, [49]),
        (ODD, [64, 64, 6]),
        ([[i, i + 1] for i in range(7, 197, 31)], [4, 3]),
        ([[5, 190]], [64, 64, 57]),
        ([[199, 200]], [1]),
    ],
    ids=["few", "odd", "many", "large", "last"],
)
def test_recomputed_gaps_are_what_the_engine_has_computed(engine, gaps, forwards):
    with computed(engine, len(gaps) * 100 + gaps[0][0]) as (request,):
        found = engine.call("recompute_gaps", requests=[{**request, "gaps": gaps}])
    assert found["forwards"] == forwards
    assert found["in_gaps"] <= EXACT
    assert found["elsewhere"] == 0


def test_requests_share_a_forward(engine):
    with computed(engine, 1, 2) as (first, second):
        requests = [{**first, "gaps": FEW[:2]}, {**second, "gaps": [[3, 9], [150, 170]]}]
        found = engine.call("recompute_gaps", requests=requests)
    assert found["forwards"] == [17 + 1 + 6 + 20]
    assert found["in_gaps"] <= EXACT
    assert found["elsewhere"] == 0


def test_other_tokens_leave_something_else(engine):
    with computed(engine, 3) as (request,):
        other = {**request, "prompt": prompt(PROMPT_TOKENS, seed=4), "gaps": FEW}
        found = engine.call("recompute_gaps", requests=[other])
    assert found["in_gaps"] >= WRONG
    assert found["elsewhere"] == 0


def test_blocks_that_are_larger_than_those_of_attention(v1_engines, model):
    options = {**OPTIONS, "block_size": 64}
    setup = Setup(model, options=options, preparations=["attend_over_blocks_of_32"])
    with (
        v1_engines.start(setup) as engine,
        computed(engine, 1, 2, block_tokens=64) as (first, second),
    ):
        requests = [{**first, "gaps": ODD}, {**second, "gaps": FEW}]
        found = engine.call("recompute_gaps", requests=requests)
        said = engine.call("prepare_blending", block_ids=[200], mistake="none")
    assert found["kernel_tokens"] == 32
    assert found["in_gaps"] <= EXACT
    assert found["elsewhere"] == 0
    assert said == [None, None, "2"]


def test_the_engine_goes_on_as_if_nothing_had_been(engine):
    """Between two steps of a running request, whose answer reads what was recomputed."""
    ids = prompt(PROMPT_TOKENS, seed=5)
    (name,) = engine.submit(Request(ids, answer_tokens=6))
    for _ in range(5):
        engine.step()
    blocks = engine.block_ids(name)[: -(-PROMPT_TOKENS // BLOCK_TOKENS)]
    request = {"prompt": ids, "block_ids": blocks, "gaps": ODD}
    assert engine.call("recompute_gaps", requests=[request])["in_gaps"] <= EXACT
    answers = engine.run().answers
    assert engine.reset()
    assert engine.generate(Request(ids, answer_tokens=6)).answers == answers


def test_a_model_whose_keys_move_by_its_rotation_is_prepared_once(engine):
    assert engine.call("why_blending_is_refused") is None
    said = engine.call("prepare_blending", block_ids=UNUSED_BLOCKS, mistake="none")
    assert said == [None, None, "2"]


@pytest.mark.parametrize("mistake", ["pairing", "speed", "stillness"])
def test_a_model_whose_keys_move_otherwise_is_refused_at_every_call(engine, mistake):
    said = engine.call("prepare_blending", block_ids=UNUSED_BLOCKS, mistake=mistake)
    assert said[0].startswith("blending is off for this model: keys of attention layer ")
    assert said[1:] == [said[0], "2"]
