"""Do the instruments of this folder see what they are meant to see?"""

from __future__ import annotations

import os
import signal

import pytest

from tests.connector.engine_process import Request, Setup
from tests.connector.engines import EngineError
from tests.connector.inputs import prompt
from tests.connector.vllm_variants import V1, V2

pytestmark = pytest.mark.vllm


def test_answers_depend_on_every_block_of_the_prompt(plain):
    ids = prompt(600)
    (right,) = plain.generate(Request(ids)).answers
    for start in range(0, 600, 32):
        other = [*ids[:start], *prompt(32, seed=1), *ids[start + 32 :]]
        assert plain.generate(Request(other)).answers != [right], f"block at {start} is not read"


def test_the_same_prompt_is_answered_alike_alone_and_in_company(plain):
    requests = [Request(prompt(200 + 50 * i, seed=i)) for i in range(4)]
    alone = [plain.generate(request).answers[0] for request in requests]
    assert plain.generate(*requests).answers == alone


def test_the_model_runner_is_the_one_that_was_asked_for(engines, model):
    with engines.start(Setup(model)) as engine:
        classes = engine.runner()
    assert [one for one in (V1, V2) if one.runner in classes] == [engines.variant]


def test_an_engine_that_cannot_start_says_why(engines, tmp_path):
    with pytest.raises(EngineError, match=r"config\.json"):
        engines.start(Setup(str(tmp_path)))


def test_an_engine_that_dies_is_told_from_one_that_answers(engines, model):
    with engines.start(Setup(model)) as engine:
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match=r"no answer|ended without a word"):
            engine.generate(Request(prompt(10)))
        engine.kill()
