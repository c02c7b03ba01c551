"""What can't work is refused as the engine starts, in one sentence with the value and the fix."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.connector.engine_process import Request, Setup
from tests.connector.engines import EngineError
from tests.connector.inputs import connected, prompt
from tests.connector.tiny_model import write_config

pytestmark = pytest.mark.vllm

URL = "redis://:t0ps3cret@127.0.0.1:1/0"

MAMBA = {
    "model_type": "mamba",
    "architectures": ["MambaForCausalLM"],
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "state_size": 16,
    "num_hidden_layers": 2,
    "conv_kernel": 4,
    "time_step_rank": 4,
    "torch_dtype": "float32",
}
HYBRID = {
    "model_type": "lfm2",
    "architectures": ["Lfm2ForCausalLM"],
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "layer_types": ["conv", "full_attention"],
    "conv_dim": 64,
    "conv_dim_out": 64,
    "conv_L_cache": 3,
    "conv_bias": False,
    "block_dim": 64,
    "block_ff_dim": 128,
    "block_multiple_of": 32,
    "block_ffn_dim_multiplier": 1.0,
    "block_auto_adjust_ff_dim": True,
    "norm_eps": 1e-5,
    "max_position_embeddings": 4096,
    "torch_dtype": "float32",
}
MLA = {
    "model_type": "deepseek_v2",
    "architectures": ["DeepseekV2ForCausalLM"],
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 2,
    "first_k_dense_replace": 2,
    "n_routed_experts": 2,
    "num_experts_per_tok": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "q_lora_rank": None,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "max_position_embeddings": 4096,
    "torch_dtype": "float32",
}


@pytest.fixture
def engines(v1_engines):
    """A model runner is made after this."""
    return v1_engines


def refusal(engines, setup):
    """Everything that the engine said as it didn't start."""
    with pytest.raises(EngineError) as refused:
        engines.start(setup)
    return str(refused.value)


def early_refusal(engines, setup):
    """What it said last, and before the model was loaded."""
    with pytest.raises(EngineError) as refused:
        engines.start(setup)
    said, log = str(refused.value), refused.value.log
    assert "Starting to load model" not in log
    reason, last = said.splitlines()[0], log.rstrip().splitlines()[-1]
    assert reason.startswith("ConfigError: ")
    assert last == f"kvtransfer.errors.{reason}"
    return said


@pytest.mark.parametrize(
    ("url", "settings", "sentence"),
    [
        (URL, {"chunksize": 64}, "chunksize.*chunk_size"),
        (URL, {"chunk_size": 100}, "chunk_size=100 .*block size of 32.* 128"),
        (URL, {"chunk_size": 0}, "chunk_size.*0"),
        (URL, {"local_storage": "/nowhere"}, "local_storage=/nowhere .*max_local_storage_size"),
        (URL, {"integrity_key_file": "/no/key"}, "/no/key"),
        (URL, {"max_local_cpu_size": 2**20}, "max_local_cpu_size=1048576"),
        ("http://:t0ps3cret@127.0.0.1:1/0", {}, "http.*redis://"),
        ("redis://:t0ps3cret@127.0.0.1:none/0", {}, "redis://.*malformed|malformed.*redis://"),
    ],
)
def test_settings(engines, model, url, settings, sentence):
    said = early_refusal(engines, connected(model, url, **settings))
    reason = said.splitlines()[0]
    assert_matches(sentence, reason)
    assert "ConfigError" in reason
    assert "t0ps3cret" not in reason


def test_host_memory_for_no_chunk(engines, model):
    said = refusal(engines, connected(model, URL, max_local_cpu_size=1e-6))
    assert_matches("ConfigError.*max_local_cpu_size", said.splitlines()[0])


def test_settings_of_one_among_several_connectors(engines, model):
    ours = [connected(model, None).transfer, connected(model, None, chunksize=64).transfer]
    several = {
        "kv_connector": "MultiConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {"connectors": ours},
    }
    said = early_refusal(engines, Setup(model, several))
    assert_matches("chunksize.*did you mean chunk_size", said.splitlines()[0])


def test_a_model_of_states_only(engines, tmp_path):
    folder = str(write_config(tmp_path / "odd", MAMBA))
    said = early_refusal(engines, connected(folder, URL, options={"load_format": "dummy"}))
    assert_matches("ConfigError.*by vLLM's own judgement.*not supported", said.splitlines()[0])


def test_states_without_vllms_own_cache(engines, tmp_path):
    folder = str(write_config(tmp_path / "odd", HYBRID))
    options = {"load_format": "dummy", "enable_prefix_caching": False}
    said = refusal(engines, connected(folder, URL, options=options))
    assert_matches("ConfigError.*mamba_cache_mode='none'.*--enable-prefix-caching", said)


def test_states_with_drafts(engines, tmp_path):
    folder = str(write_config(tmp_path / "odd", HYBRID))
    draft = {"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_max": 3}
    options = {"load_format": "dummy", "speculative_config": draft}
    said = early_refusal(engines, connected(folder, URL, options=options))
    assert_matches("ConfigError.*'ngram' moves a model's states", said.splitlines()[0])


def test_mla_on_a_cpu(engines, tmp_path):
    folder = str(write_config(tmp_path / "mla", MLA))
    options = {"load_format": "dummy", "block_size": 16}
    said = early_refusal(engines, connected(folder, URL, options=options))
    assert_matches(r"ConfigError.*\(MLA\) on a CPU.*not supported", said.splitlines()[0])


def test_vllms_own_cache_may_be_off(engines, model):
    setup = connected(model, None, options={"enable_prefix_caching": False})
    with engines.start(setup) as engine:
        assert engine.generate(Request(prompt(100))).cached_tokens == [0]


def test_a_policy_that_fails_requests_is_warned_of(engines, model):
    setup = connected(model, None)
    failing = replace(setup, transfer={**setup.transfer, "kv_load_failure_policy": "fail"})
    with engines.start(failing) as engine:
        assert_matches("kv_load_failure_policy=fail: a chunk that can't be loaded", engine.log())
    with engines.start(setup) as engine:
        assert "a chunk that can't be loaded" not in engine.log()


def assert_matches(pattern, text):
    assert re.search(pattern, text), f"no {pattern!r} in:\n{text}"
