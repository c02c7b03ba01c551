"""Measures the pages of a group that has several kinds of them, where vLLM names only one.

vLLM gives its workers the specification of every layer, and its scheduler that of one layer in each
group. What both are given is where the layers lie in memory, which has a region for each kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.chunks.layout import ChunkFormat

if TYPE_CHECKING:
    from vllm.v1.kv_cache_interface import KVCacheConfig, KVCacheGroupSpec, KVCacheTensor

    from kvtransfer.chunks.tiling import Tiling


@dataclass(frozen=True)
class Region:
    """Layers of one group whose pages vLLM makes alike."""

    layer_names: tuple[str, ...]
    block_bytes: int
    """Bytes that a block has in all of these layers, with the padding behind their pages."""

    def format(self, tiling: Tiling) -> ChunkFormat:
        """Return the format of their part of a piece, of which only the length is known."""
        tokens = tiling.piece_blocks * tiling.block_tokens
        nbytes = tiling.piece_blocks * self.block_bytes
        return ChunkFormat("content", "uint8", (nbytes,), tokens, nbytes)


def regions(kv_cache_config: KVCacheConfig, group: KVCacheGroupSpec) -> list[Region]:
    """Return the regions of ``group``, in the order in which they lie in memory."""
    names = set(group.layer_names)
    tensors = sorted(
        (tensor for tensor in kv_cache_config.kv_cache_tensors if names & set(tensor.layers)),
        key=lambda tensor: tensor.offset,
    )
    ends = [tensor.offset for tensor in tensors[1:]] + [
        _end(tensor, kv_cache_config.num_blocks) for tensor in tensors[-1:]
    ]
    return [
        Region(tuple(tensor.layers), _block_bytes(tensor, end, kv_cache_config.num_blocks))
        for tensor, end in zip(tensors, ends, strict=True)
    ]


def _end(last: KVCacheTensor, num_blocks: int) -> int:
    """Return the offset at which the last region of a group ends."""
    if _is_within_blocks(last, num_blocks):
        return int(last.block_stride)
    return int(last.offset + len(last.layers) * last.layer_stride)


def _block_bytes(tensor: KVCacheTensor, end: int, num_blocks: int) -> int:
    own_bytes = end - int(tensor.offset)
    return own_bytes if _is_within_blocks(tensor, num_blocks) else own_bytes // num_blocks


def _is_within_blocks(tensor: KVCacheTensor, num_blocks: int) -> bool:
    """Whether the pages of all layers lie together in each block, not those of all blocks in each layer."""
    return bool(tensor.block_stride * num_blocks == tensor.size)
