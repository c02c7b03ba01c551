"""Two pipeline stages start, and tell the scheduler's side what each holds.

No more than that: in vLLM's own CPU worker the first step of two stages fails.
"""

from __future__ import annotations

import re

import pytest

from tests.connector.inputs import connected

pytestmark = pytest.mark.vllm


def test_the_scheduler_opens_once_both_stages_have_told_what_they_hold(v1_engines, model):
    setup = connected(model, None, options={"pipeline_parallel_size": 2})
    with v1_engines.start(setup) as engine:
        log = engine.log()
    assert re.search(r"chunks of 64 tokens, \S+ MiB on each of 2 ranks", log), log
