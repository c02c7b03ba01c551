"""Rebuilds vLLM's configuration of a model's KV cache from its record in ``model_families``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.record_groups import FOLDER

if TYPE_CHECKING:
    from benchmarks.families import Family

NUM_BLOCKS = 8
_PAGE_FIELDS = {
    "heads": "num_kv_heads",
    "head_size": "head_size",
    "head_size_v": "head_size_v",
    "tokens_per_state": "tokens_per_state",
    "window_tokens": "sliding_window",
    "chunk_tokens": "attention_chunk_size",
    "head_slots": "num_head_slots",
    "content_bytes": "state_content_bytes",
    "padded_bytes": "page_size_padded",
}


def recorded(family: Family) -> dict[str, Any]:
    """Read the record of ``family``."""
    record: dict[str, Any] = json.loads((FOLDER / family.file).read_text(encoding="utf-8"))
    return record


def cache_config(record: dict[str, Any], layers: int | None = None) -> Any:
    """Return the ``KVCacheConfig`` of a record, without tensors.

    Layers get names of their own but for the first one of a group, whose name the record has.

    Args:
        record: as ``record_groups.py`` wrote it.
        layers: the most layers of each kind of page that a group keeps; None: all.
    """
    from vllm.v1.kv_cache_interface import KVCacheConfig

    groups = [
        _group(number, group, record["prefix_caching"], layers)
        for number, group in enumerate(record["groups"])
    ]
    return KVCacheConfig(NUM_BLOCKS, [], groups, kv_cache_layout=record["layout"])


def _group(number: int, group: dict[str, Any], caches_prefixes: bool, layers: int | None) -> Any:
    from vllm.v1.kv_cache_interface import KVCacheGroupSpec, UniformTypeKVCacheSpecs

    specs: dict[str, Any] = {}
    for page in group["pages"]:
        spec = _spec(page, group["block_tokens"], caches_prefixes)
        count = min(page["layers"], layers or page["layers"])
        specs |= {_name(group, number, len(specs) + i): spec for i in range(count)}
    if group["spec"] == "UniformTypeKVCacheSpecs":
        uniform = UniformTypeKVCacheSpecs(block_size=group["block_tokens"], kv_cache_specs=specs)
        return KVCacheGroupSpec(list(specs), uniform)
    return KVCacheGroupSpec(list(specs), next(iter(specs.values())))


def _name(group: dict[str, Any], number: int, layer: int) -> str:
    return f"layers.{layer}.group{number}" if layer else group["first_layer"]


def _spec(page: dict[str, Any], block_tokens: int, caches_prefixes: bool) -> Any:
    import torch
    from vllm.v1 import kv_cache_interface

    kind = getattr(kv_cache_interface, page["spec"])
    if page["spec"] == "MambaSpec":
        return kind(
            block_size=block_tokens,
            shapes=tuple(map(tuple, page["state_shapes"])),
            dtypes=tuple(getattr(torch, dtype) for dtype in page["state_dtypes"]),
            page_size_padded=page.get("padded_bytes"),
            # What vLLM takes by default, which a record doesn't say.
            mamba_cache_mode="align" if caches_prefixes else "none",
        )
    given = {new: page[name] for name, new in _PAGE_FIELDS.items() if name in page}
    return kind(block_size=block_tokens, dtype=getattr(torch, page["dtype"]), **given)
