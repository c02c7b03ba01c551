"""One cache group whose layers have pages of several kinds is restored by another process.

vLLM tells its scheduler of one kind only.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.connector.engine_process import Request
from tests.connector.inputs import CHUNK_TOKENS, prompt
from tests.connector.models.alike import assert_alike
from tests.connector.models.kinds import GEMMA4
from tests.connector.models.tiny import TinyModel

pytestmark = pytest.mark.vllm

# Without groups of its own for windows, vLLM puts heads of two sizes into one.
ONE_GROUP = {"disable_hybrid_kv_cache_manager": True}
TWO_PAGES = replace(GEMMA4, config={**GEMMA4.config, "global_head_dim": 128})
LONG = Request(prompt(5 * CHUNK_TOKENS + 2, seed=1), 8, with_logprobs=True)


def test_pages_of_two_sizes_in_one_group(v1_engines, tmp_path):
    model = TinyModel.write(TWO_PAGES, tmp_path)
    # A folder of chunks tells a chunk by the length that the scheduler's side expects.
    setup = model.connected(f"disk://{tmp_path / 'chunks'}?max_gib=1", options=ONE_GROUP)
    with v1_engines.start(setup) as saving:
        right = saving.generate(LONG)
    with v1_engines.start(setup) as restoring:
        restored = restoring.generate(LONG)
    assert (right.external_tokens, restored.external_tokens) == (0, 5 * CHUNK_TOKENS)
    assert_alike(restored, right)
