"""Gives the format of chunks for a layer, as vLLM specifies its pages."""

from __future__ import annotations

from vllm.v1.kv_cache_interface import AttentionSpec, MLAAttentionSpec, SlidingWindowMLASpec

from kvtransfer.chunks.layout import ChunkFormat


def page_format(spec: AttentionSpec, layers: int, tokens: int) -> ChunkFormat:
    """Return the format of ``tokens`` tokens of ``layers`` layers whose pages are as ``spec`` says.

    Keys and values of one size are told apart; anything else is the content of a token and head.
    Padding behind a page is left out. Each token must have a state of its own.

    Raises:
        ConfigError: chunks can't have this dtype.
    """
    dtype = str(spec.dtype).removeprefix("torch.")
    if _is_split(spec):
        return ChunkFormat.split(dtype, layers, tokens, spec.num_kv_heads, spec.head_size)
    dim = spec.state_content_size_bytes // spec.dtype.itemsize
    return ChunkFormat.content(dtype, layers, tokens, spec.num_heads, dim)


def _is_split(spec: AttentionSpec) -> bool:
    if isinstance(spec, MLAAttentionSpec | SlidingWindowMLASpec):
        return False
    is_packed = spec.num_head_slots is not None or spec.state_content_bytes is not None
    return not is_packed and spec.head_size == spec.head_size_v
