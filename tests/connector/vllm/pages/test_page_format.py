"""The format of chunks has as many bytes as vLLM's pages, whatever is stored in them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kvtransfer.connector.vllm.pages.page_format import page_format
from kvtransfer.connector.vllm.pages.verdicts import DTYPES

pytestmark = pytest.mark.vllm

TOKENS, HEADS, HEAD = 64, 4, 128
LATENT = {"fp8_ds_mla": 656, "nvfp4_ds_mla": 352}
MODEL_DTYPE = torch.bfloat16


def element(dtype):
    from vllm.utils.torch_utils import STR_DTYPE_TO_TORCH_DTYPE

    return MODEL_DTYPE if dtype == "auto" else STR_DTYPE_TO_TORCH_DTYPE[dtype]


def attention(dtype, head_v=HEAD):
    """The specification of an attention layer, as its own backend packs it."""
    from vllm.v1.kv_cache_interface import FullAttentionSpec, get_kv_quant_mode

    spec = FullAttentionSpec(
        block_size=TOKENS,
        num_kv_heads=HEADS,
        head_size=HEAD,
        head_size_v=head_v,
        dtype=element(dtype),
        kv_quant_mode=get_kv_quant_mode(dtype),
    )
    return packed(spec, dtype)


def packed(spec, dtype):
    """``spec`` as the backend's ``customize_spec`` makes it; most of them need a GPU's packages."""
    from vllm.model_executor.layers.quantization.turboquant.config import TurboQuantConfig
    from vllm.utils.torch_utils import nvfp4_kv_cache_full_dim
    from vllm.v1.attention.backends.triton_attn import TritonAttentionBackend
    from vllm.v1.attention.ops.ultraquant.format import slot_size

    if dtype.startswith("nvfp4"):
        size = nvfp4_kv_cache_full_dim(HEAD)
        return replace(spec, num_head_slots=2 * HEADS, state_content_bytes=size)
    if dtype.startswith("turboquant"):
        size = TurboQuantConfig.from_cache_dtype(dtype, HEAD).slot_size_aligned
        return replace(spec, state_content_bytes=size)
    if dtype.startswith("ultraquant"):
        return replace(spec, state_content_bytes=slot_size(HEAD))
    return TritonAttentionBackend.customize_spec(spec)


def latent(dtype, padded=None):
    from vllm.v1.kv_cache_interface import MLAAttentionSpec, get_kv_quant_mode

    return MLAAttentionSpec(
        block_size=TOKENS,
        num_kv_heads=1,
        head_size=576,
        dtype=element(dtype),
        cache_dtype_str=dtype,
        kv_quant_mode=get_kv_quant_mode(dtype),
        state_content_bytes=LATENT.get(dtype),
        page_size_padded=padded,
    )


def window(dtype):
    from vllm.v1.kv_cache_interface import SlidingWindowSpec, get_kv_quant_mode

    return packed(
        SlidingWindowSpec(
            block_size=TOKENS,
            num_kv_heads=HEADS,
            head_size=HEAD,
            dtype=element(dtype),
            kv_quant_mode=get_kv_quant_mode(dtype),
            sliding_window=128,
        ),
        dtype,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_block_is_as_large_as_a_page(dtype):
    specs = [latent(dtype)] if dtype in LATENT else [attention(dtype), window(dtype)]
    for spec in specs:
        made = page_format(spec, 3, 2 * TOKENS)
        assert made.nbytes == 3 * 2 * spec.page_size_bytes
        assert made.dtype == str(spec.dtype).removeprefix("torch.")


@pytest.mark.parametrize("dtype", ["auto", "fp8", "fp8_ds_mla", "nvfp4_ds_mla"])
def test_latents(dtype):
    made = page_format(latent(dtype), 1, TOKENS)
    assert (made.layout, made.nbytes) == ("content", latent(dtype).page_size_bytes)


def test_keys_and_values_are_told_apart_where_they_are_alike():
    assert page_format(attention("fp8"), 1, TOKENS).layout == "split"
    assert page_format(attention("auto", head_v=64), 1, TOKENS).layout == "content"
    assert page_format(attention("fp8_per_token_head"), 1, TOKENS).layout == "content"


def test_padding_behind_a_page_is_left_out():
    made = page_format(latent("auto", padded=1 << 20), 1, TOKENS)
    assert made.nbytes == latent("auto").page_size_bytes
