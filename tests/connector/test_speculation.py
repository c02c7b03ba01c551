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
