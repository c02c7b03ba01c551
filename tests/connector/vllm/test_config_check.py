"""Ways to run in parallel that are refused, each by its name with the reason."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvtransfer.connector.vllm.config_check import refuse_config
from kvtransfer.errors import ConfigError


def parallel(**sizes):
    alone = dict.fromkeys((f"{kind}_parallel_size" for kind in KINDS), 1)
    config = SimpleNamespace(cp_kv_cache_interleave_size=16, **alone | sizes)
    return SimpleNamespace(parallel_config=config)


KINDS = {
    "decode_context": r"^decode context parallel size 2 is not supported: .* 16 at a time, .*1$",
    "prefill_context": r"^prefill context parallel size 2 is not supported: its ranks hold copies",
}


@pytest.mark.parametrize("kind", KINDS)
def test_parallel_sizes(kind):
    with pytest.raises(ConfigError, match=KINDS[kind]):
        refuse_config(parallel(**{f"{kind}_parallel_size": 2}))
