"""Ways to run in parallel and to draft that are refused, each by its name with the reason."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvtransfer.connector.vllm.config_check import refuse_block_size, refuse_config
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


def drafting(method, *, is_hybrid=False):
    made = parallel()
    made.speculative_config = SimpleNamespace(method=method)
    made.model_config = SimpleNamespace(is_hybrid=is_hybrid)
    return made


def refusal(vllm_config):
    with pytest.raises(ConfigError) as error:
        refuse_config(vllm_config)
    return str(error.value)


@pytest.mark.parametrize("method", ["ngram", "eagle"])
def test_drafts_beside_states(method):
    assert refusal(drafting(method, is_hybrid=True)) == (
        f"speculative decoding by '{method}' moves a model's states between blocks as drafts are "
        "accepted, which is not supported; leave it out, or the connector"
    )


def test_an_unknown_method_of_drafting():
    said = refusal(drafting("dflash"))
    assert said.startswith("speculative decoding by 'dflash' keeps a cache of its own that is not")
    assert "use one of draft_model, eagle, eagle3, medusa" in said


def test_a_size_of_chunks_that_blocks_do_not_fit():
    refuse_block_size(64, 256)
    with pytest.raises(ConfigError) as error:
        refuse_block_size(96, 256)
    assert str(error.value) == (
        "chunk_size=256 is no multiple of vLLM's block size of 96 tokens; set chunk_size to 288, "
        "or change --block-size"
    )
