"""Scales that lie in pages, and that vLLM fills with 1 once, are filled before chunks are loaded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from kvtransfer.connector.vllm.pages.inline_scales import prepare_scales

pytestmark = pytest.mark.vllm

HEADS, TOKENS, HEAD_BYTES, SCALE_BYTES = 2, 16, 8, 4


def attention(*, is_quantized):
    """vLLM's own implementation, of which only what prepares scales is used."""
    from vllm.v1.attention.backends.triton_attn import TritonAttentionImpl

    made = TritonAttentionImpl.__new__(TritonAttentionImpl)
    made._is_per_token_head_quant = is_quantized
    return made


def prepared(impl):
    cache = torch.zeros(3, HEADS, TOKENS, 2 * (HEAD_BYTES + SCALE_BYTES), dtype=torch.int8)
    layers = {"a": SimpleNamespace(impl=impl), "state": SimpleNamespace()}
    context = SimpleNamespace(static_forward_context=layers)
    config = SimpleNamespace(compilation_config=context)
    prepare_scales(config, {"a": cache, "state": torch.zeros(3, 1, 1, 8)})
    return cache


def test_a_loaded_chunk_keeps_its_scales():
    impl = attention(is_quantized=True)
    cache = prepared(impl)
    key_scales = cache[..., HEAD_BYTES : HEAD_BYTES + SCALE_BYTES].contiguous().view(torch.float32)
    assert key_scales.eq(1).all()
    cache.fill_(7)  # chunks arrive
    impl._ensure_scale_caches(cache)  # vLLM's first step
    assert cache.eq(7).all()


def test_other_layers_are_left_alone():
    assert prepared(attention(is_quantized=False)).eq(0).all()
