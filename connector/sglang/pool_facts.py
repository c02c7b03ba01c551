"""Collects what shapes the bytes of a host pool's pages, for their keys."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvtransfer.connector.sglang.ranks import Part, Place

_DIMENSIONS = (
    "layout", "page_size", "start_layer", "end_layer", "layer_num", "target_layer_num", "head_num",
    "head_dim", "v_head_dim", "kv_lora_rank", "qk_rope_head_dim", "kv_cache_dim", "index_head_dim",
    "indexer_page_stride_size", "item_bytes", "size_per_token", "num_mamba_layers",
    "conv_state_shapes", "temporal_state_shape", "conv_dtype", "temporal_dtype",
    "storage_format_tag",
)  # fmt: skip
"""What pools of some kind have; the others don't."""
_OF_DEVICE = ("dtype", "layer_shard_rank", "layer_shard_size")
"""What only the pool on the device tells: all 8-bit floating-point formats are held as bytes, and of
some models each rank of context parallelism holds other layers."""
_ALIKE = frozenset({"kv", "swa", "indexer", "draft", "draft_indexer", "draft_swa"})
_ALIKE_FAMILY = "deepseek_v4_"
"""Pools that tensor-parallel ranks hold alike where they do so with keys and values; of pools that a
later SGLang adds we don't know it, so they count as each rank's own."""


def pool_facts(name: str, pool: Any, place: Place) -> dict[str, object]:
    """Return what two pools must have in common to share pages, as plain JSON."""
    device = getattr(pool, "device_pool", None)
    return {
        "engine": f"sglang {_version()}",  # another version may order a page's bytes differently
        "model": place.model_name,
        "weights_name": place.weights_name,
        "namespace": place.namespace,
        "tensor_parallel_size": place.ranks.tp.count,
        "pool": name,
        "pool_type": type(pool).__name__,
        "dtype": str(pool.dtype),
        "device": _known(device, _OF_DEVICE),
        "dimensions": _known(pool, _DIMENSIONS),
    }


def part_of(name: str, pool: Any, place: Place) -> Part:
    """Say which part of each page this process holds in the pool ``name``.

    Where all tensor-parallel ranks hold the same keys and values, other pools of the model may still
    be divided, as states are and drafts with heads.
    """
    is_known = name in _ALIKE or name.startswith(_ALIKE_FAMILY)
    has_heads = name != "kv" and hasattr(pool, "head_num")
    is_alike = place.is_alike and is_known and not has_heads
    return place.ranks.replicated if is_alike else place.ranks.sharded


def _known(pool: Any, names: tuple[str, ...]) -> dict[str, str]:
    found = {name: getattr(pool, name, None) for name in names}
    return {name: str(fact) for name, fact in found.items() if fact is not None}


def _version() -> str:
    try:
        return version("sglang")
    except PackageNotFoundError:  # run from its sources
        return "(not installed)"
