"""Scales of a whole layer lie beside the pages, and the fingerprint of the weights covers them."""

from __future__ import annotations

import pytest
from torch import nn

from kvtransfer.connector.vllm.weights.of_model import fingerprint

pytestmark = pytest.mark.vllm


def loaded(dtype, key_scale, value_scale=1.0):
    """A layer after vLLM has loaded the scales of a checkpoint."""
    from vllm.model_executor.layers.attention.attention import set_default_quant_scales
    from vllm.model_executor.layers.quantization.kv_cache import BaseKVCacheMethod

    layer = nn.Module()
    layer.kv_cache_dtype = dtype
    set_default_quant_scales(layer, register_buffer=True)
    method = BaseKVCacheMethod(None)
    method.create_weights(layer)
    layer.k_scale.data.fill_(key_scale)
    layer.v_scale.data.fill_(value_scale)
    method.process_weights_after_loading(layer)
    return nn.ModuleDict({"attention": layer})


def test_other_scales_are_another_fingerprint():
    assert fingerprint(loaded("fp8", 0.5)) == fingerprint(loaded("fp8", 0.5))
    found = {fingerprint(loaded("fp8", *scales)) for scales in ((0.5,), (0.25,), (0.5, 0.25))}
    assert len(found) == 3


def test_scales_that_vllm_does_not_use_say_nothing():
    inline = {fingerprint(loaded("fp8_per_token_head", scale)) for scale in (0.5, 0.25)}
    assert len(inline) == 1
