"""Answers stay right while vLLM preempts, resets, evicts and aborts; and no block is lost."""

from __future__ import annotations

import pytest

from tests.connector.engine_process import Request
from tests.connector.inputs import connected, prompt

pytestmark = pytest.mark.vllm

CROWD = [Request(prompt(150, seed=seed), answer_tokens=110) for seed in range(1, 5)]
# 29 blocks of 32 tokens, of which each of the four wants 9 in the end.
TIGHT = {"num_gpu_blocks_override": 30, "max_model_len": 512}
THREE_CHUNKS = {"max_local_cpu_size": 3.5 * 64 * 1024 / 2**30}  # 1 KiB a token


def test_preempted_requests_go_on_where_they_were(engines, model, server, plain):
    right = plain.generate(*CROWD).answers
    for external_tokens in (0, 4 * 128):
        with engines.start(connected(model, server.url, options=TIGHT)) as engine:
            outcome = engine.generate(*CROWD)
            assert outcome.preemptions > 0
            assert outcome.external_tokens >= external_tokens
            assert outcome.answers == right
            assert engine.reset(), "blocks were lost"


def test_requests_preempted_between_the_parts_of_their_prefill(engines, model, server, plain):
    requests = [Request(prompt(420, seed=seed), answer_tokens=60) for seed in range(40, 44)]
    right = plain.generate(*requests).answers
    few_at_once = {**TIGHT, "max_num_batched_tokens": 96, "enable_chunked_prefill": True}
    with engines.start(connected(model, server.url, options=few_at_once)) as engine:
        for _ in ("saving", "restoring"):
            outcome = engine.generate(*requests)
            assert outcome.preemptions > 0
            assert outcome.answers == right
            assert engine.reset(), "blocks were lost"


def test_a_chunk_that_several_requests_compute_is_saved_once(engines, model, server, entries):
    shared = prompt(320, seed=50)
    requests = [Request(shared), Request(shared), Request(shared + prompt(70, seed=51))]
    with engines.start(connected(model, server.url)) as engine:
        engine.generate(*requests)
    assert entries.calls("hset") == len(entries.keys()) == 5 + 1


def test_chunks_smaller_than_what_is_computed_in_a_step(engines, model, server, plain):
    requests = [Request(prompt(500, seed=seed), answer_tokens=40) for seed in range(5, 9)]
    right = plain.generate(*requests).answers
    few_at_once = {"max_num_batched_tokens": 96, "enable_chunked_prefill": True}
    for external_tokens in (0, 4 * 448):
        with engines.start(connected(model, server.url, options=few_at_once)) as engine:
            outcome = engine.generate(*requests)
            assert outcome.external_tokens == external_tokens
            assert outcome.answers == right


@pytest.mark.parametrize("with_store", [True, False], ids=["store", "host-memory-alone"])
def test_room_for_three_chunks_only(engines, model, server, plain, with_store):
    requests = [Request(prompt(300, seed=seed)) for seed in range(10, 20)]
    right = [plain.generate(request).answers for request in requests]
    url = server.url if with_store else None
    with engines.start(connected(model, url, **THREE_CHUNKS)) as engine:
        for _ in range(2):
            assert [engine.generate(request).answers for request in requests] == right
            assert engine.reset(), "blocks were lost"
        assert engine.generate(*requests).answers == [answer for (answer,) in right]


def test_a_reset_while_requests_run(engines, model, server, plain):
    right = plain.generate(*CROWD).answers
    with engines.start(connected(model, server.url)) as engine:
        engine.submit(*CROWD)
        for _ in range(40):
            engine.step()
        engine.reset(connector=True, running=True)
        assert engine.run().answers == right
        assert engine.reset(), "blocks were lost"


def test_requests_aborted_as_they_run(engines, model, server, plain):
    with engines.start(connected(model, server.url)) as engine:
        first, second, *_ = engine.submit(*CROWD)
        for _ in range(30):
            engine.step()
        engine.abort(first)
        engine.step()
        engine.abort(second)
        outcome = engine.run()
        assert outcome.answers == [[], [], *plain.generate(*CROWD[2:]).answers]
        assert engine.reset(), "blocks were lost"
        assert engine.generate(*CROWD).answers == plain.generate(*CROWD).answers


def test_requests_come_while_others_load_and_run(engines, model, server, plain):
    shared = prompt(320, seed=30)
    requests = [Request(shared + prompt(40, seed=31 + i), answer_tokens=20) for i in range(6)]
    right = [plain.generate(request).answers[0] for request in requests]
    for _ in ("saving", "restoring"):
        with engines.start(connected(model, server.url, local_cpu=False)) as engine:
            for request in requests:
                engine.submit(request)
                engine.step()
            assert engine.run().answers == right
            assert engine.reset(), "blocks were lost"
