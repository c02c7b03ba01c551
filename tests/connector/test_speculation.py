"""Drafted tokens are computed, and may be rejected: only accepted ones are ever saved."""

from __future__ import annotations

import pytest

from tests.connector.engine_process import Request
from tests.connector.inputs import NGRAM, connected, prompt

pytestmark = pytest.mark.vllm

TALK = Request(prompt(300, seed=1), answer_tokens=90)


def test_generated_tokens_are_restored_though_others_were_drafted(engines, model, server, plain):
    (answer,) = plain.generate(TALK).answers
    turn = Request(TALK.prompt_ids + answer + prompt(20, seed=2))
    setup = connected(model, server.url, options=NGRAM)
    with engines.start(setup) as saving:
        assert saving.generate(TALK).answers == [answer]
        assert saving.metric("vllm:spec_decode_num_draft_tokens") > 0
    with engines.start(setup) as restoring:
        outcome = restoring.generate(turn)
    assert outcome.external_tokens == 384
    assert outcome.answers == plain.generate(turn).answers


def test_a_draft_model_finds_its_own_cache_restored(engines, model, server, plain):
    """The draft is the model itself, so every draft is accepted if both read the right cache."""
    draft = {"method": "draft_model", "model": model, "num_speculative_tokens": 2}
    setup = connected(model, server.url, options={"speculative_config": draft})
    with engines.start(setup) as saving:
        computed, accepted = saving.generate(TALK), _acceptance(saving)
    with engines.start(setup) as restoring:
        restored, accepted_again = restoring.generate(TALK), _acceptance(restoring)
    assert restored.external_tokens == 256
    assert computed.answers == restored.answers == plain.generate(TALK).answers
    assert accepted == accepted_again > 0.9


def _acceptance(engine):
    """The part of the drafted tokens that the model accepted."""
    accepted = engine.metric("vllm:spec_decode_num_accepted_tokens")
    return accepted / engine.metric("vllm:spec_decode_num_draft_tokens")
