"""Engines in which no passage is blended, each with the reason; all others are left to the model."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.reach import Window
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.connector.vllm.blend.verdict import why_refused
from kvtransfer.connector.vllm.caches.cache_groups import GroupFacts, Section
from kvtransfer.connector.vllm.caches.model_facts import ModelFacts
from kvtransfer.connector.vllm.caches.ranks import Ranks

PARALLEL = {
    "decode_context_parallel_size": 1,
    "prefill_context_parallel_size": 1,
    "pipeline_parallel_size": 1,
    "data_parallel_size": 1,
    "enable_eplb": False,
}
MODEL = {"model": "m", "is_moe": False, "is_encoder_decoder": False, "rswa_window": None}


def config(*, parallel=None, model=None, draft=None, lora=None, fast_prefill=False):
    return SimpleNamespace(
        parallel_config=SimpleNamespace(**PARALLEL | (parallel or {})),
        model_config=SimpleNamespace(**MODEL | (model or {})),
        cache_config=SimpleNamespace(kv_sharing_fast_prefill=fast_prefill),
        speculative_config=draft,
        lora_config=lora,
    )


def group(*formats, number=0, tiling=None):
    sections = tuple(Section((f"layers.{i}.attn",), form) for i, form in enumerate(formats))
    return GroupFacts(number, "FullAttentionSpec", tiling or Tiling(256, 16), sections)


def facts(*groups):
    return ModelFacts("m", Ranks(), groups)


SPLIT = ChunkFormat.split("bfloat16", 2, 256, 2, 64)
MLA = ChunkFormat.content("bfloat16", 2, 256, 1, 576)
QUANTIZED = ChunkFormat.split("float8_e4m3fn", 2, 256, 2, 64)
ORDINARY = facts(group(SPLIT))
WINDOW = Tiling(256, 16, Window(128))


@pytest.mark.parametrize(
    ("vllm_config", "model"),
    [
        (config(), ORDINARY),
        (config(), facts(group(MLA))),
        (config(parallel={"data_parallel_size": 2}), ORDINARY),
        (config(model={"is_moe": True}), ORDINARY),
    ],
)
def test_nothing_speaks_against_it(vllm_config, model):
    assert why_refused(vllm_config, model) is None


@pytest.mark.parametrize(
    ("vllm_config", "model", "message"),
    [
        (config(parallel={"pipeline_parallel_size": 2}), ORDINARY, "pipeline parallel size 2: "),
        (config(parallel={"decode_context_parallel_size": 4}), ORDINARY, "decode context parallel size 4: "),
        (config(parallel={"prefill_context_parallel_size": 2}), ORDINARY, "prefill context parallel size 2: "),
        (
            config(parallel={"data_parallel_size": 8}, model={"is_moe": True}),
            ORDINARY,
            "data parallel size 8 with a mixture of experts: ",
        ),
        (config(parallel={"enable_eplb": True}), ORDINARY, "load balancing of experts: "),
        (config(draft=SimpleNamespace(method="ngram")), ORDINARY, "speculative decoding by 'ngram': "),
        (config(lora=SimpleNamespace()), ORDINARY, "LoRA: "),
        (config(fast_prefill=True), ORDINARY, "fast prefill with shared caches: "),
        (config(model={"is_encoder_decoder": True}), ORDINARY, "m has an encoder and a decoder"),
        (config(model={"rswa_window": 128}), ORDINARY, "m reads windows of 128 tokens"),
        (config(), facts(group(SPLIT), group(SPLIT, number=1)), "several groups of caches (FullAttentionSpec)"),
        (config(), facts(group(SPLIT, tiling=WINDOW)), "m keeps windows or states"),
        (config(), facts(group(SPLIT, MLA)), "m has layers with 2 kinds of pages"),
        (config(), facts(group(QUANTIZED)), "a KV cache of float8_e4m3fn: "),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(vllm_config, model, message):
    assert message in why_refused(vllm_config, model)


def test_the_fields_that_are_read_are_those_of_vllm():
    from vllm.config import CacheConfig, ModelConfig, ParallelConfig, VllmConfig

    assert PARALLEL.keys() <= vars(ParallelConfig()).keys()
    assert "kv_sharing_fast_prefill" in vars(CacheConfig())
    assert {"speculative_config", "lora_config"} <= vars(VllmConfig()).keys()
    assert all(hasattr(ModelConfig, name) for name in set(MODEL) - {"model"})


def test_a_vllm_without_what_is_needed_is_refused(monkeypatch):
    from vllm.v1.worker.utils import AttentionGroup

    monkeypatch.delattr(AttentionGroup, "build_metadata")
    assert why_refused(config(), ORDINARY).endswith("use vLLM 0.32 or newer")
