"""Reset, sleep and shutdown in the caller's process, where no step follows the last answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.connector.engine_process import Request, Setup
from tests.connector.inputs import CHUNK_TOKENS, connected, prompt

pytestmark = pytest.mark.vllm

# More chunks than one step can save.
REQUESTS = [Request(prompt(1900, seed=seed), answer_tokens=1) for seed in range(1, 5)]
CHUNKS = sum(len(request.prompt_ids) // CHUNK_TOKENS for request in REQUESTS)
PATIENT = {"max_pending_puts": 2 * CHUNKS}  # none is dropped, however busy this machine is


@pytest.fixture(scope="module")
def right(plain):
    return plain.generate(*REQUESTS).answers


def test_a_reset_right_after_the_last_answer_succeeds(v1_engines, model, server, plain, right):
    with v1_engines.start(connected(model, server.url, **PATIENT)) as engine:
        for _ in range(6):
            assert engine.answer(*REQUESTS).answers == right
            assert engine.reset()


@pytest.mark.parametrize("level", [0, 1])
def test_a_sleep_right_after_it_loses_nothing(v1_engines, model, server, right, level):
    with v1_engines.start(connected(model, server.url, **PATIENT)) as engine:
        assert engine.answer(*REQUESTS).answers == right
        engine.sleep(level)
        if level:
            engine.lose_caches()
        engine.wake_up()
        assert engine.answer(*REQUESTS).answers == right
    with v1_engines.start(connected(model, server.url)) as engine:
        outcome = engine.generate(*REQUESTS)
        assert outcome.answers == right
        assert outcome.external_tokens == CHUNKS * CHUNK_TOKENS


def test_requests_that_run_are_dropped_by_a_sleep_as_without_us(v1_engines, model, server, right):
    long = [replace(request, answer_tokens=100) for request in REQUESTS]
    for setup in (Setup(model), connected(model, server.url)):
        with v1_engines.start(setup) as engine:
            engine.submit(*long)
            for _ in range(6):
                engine.step()
            engine.sleep()
            engine.wake_up()
            assert engine.run().answers == [[]] * len(REQUESTS)
            assert engine.generate(*REQUESTS).answers == right
            assert engine.reset(), "blocks were lost"


def test_a_shutdown_right_after_it_stores_everything(v1_engines, model, server, entries, right):
    with v1_engines.start(connected(model, server.url, **PATIENT)) as engine:
        assert engine.answer(*REQUESTS).answers == right
    assert len(entries.keys()) == CHUNKS


def test_of_two_of_ours_too(v1_engines, model, server, entries, tmp_path, right):
    pair = [connected("", url, **PATIENT).transfer for url in (server.url, f"disk://{tmp_path}")]
    transfer = {
        "kv_connector": "MultiConnector",
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": {"connectors": pair},
    }
    with v1_engines.start(Setup(model, transfer)) as engine:
        assert engine.answer(*REQUESTS).answers == right
        assert engine.reset()
    assert len(entries.keys()) == len(list(tmp_path.rglob("*.kv"))) == CHUNKS
