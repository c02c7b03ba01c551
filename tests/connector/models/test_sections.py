"""One cache group whose layers have pages of several kinds is restored by another process.

vLLM tells its scheduler of one kind only.
"""

from __future__ import annotations

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Request
from tests.connector.inputs import prompt
from tests.connector.models.alike import assert_alike
from tests.connector.models.kinds import GEMMA4
from tests.connector.models.tiny import TinyModel

pytestmark = pytest.mark.vllm

# Without groups, heads of two sizes share one.
ONE_GROUP = {"disable_hybrid_kv_cache_manager": True}
LONG = Request(prompt(5 * 64 + 2, seed=1), 8, with_logprobs=True)


def test_pages_of_two_kinds_in_one_group(v1_engines, tmp_path):
    model = TinyModel.write(GEMMA4, tmp_path)
    with EmbeddedServer(64 << 20) as server:
        setup = model.connected(server.url, options=ONE_GROUP)
        with v1_engines.start(setup) as saving:
            right = saving.generate(LONG)
        with v1_engines.start(setup) as restoring:
            restored = restoring.generate(LONG)
    assert (right.external_tokens, restored.external_tokens) == (0, 320)
    assert_alike(restored, right)
