"""Names the blocks of chunks as vLLM's own KV events do."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from vllm.v1.core.kv_cache_utils import (
    maybe_convert_block_hash,
    resolve_block_hashes,
    resolve_kv_cache_block_sizes,
)

from kvtransfer.requests.router_events.event import ChunkBlocks

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.kv_cache_interface import KVCacheConfig
    from vllm.v1.request import Request

    from kvtransfer.chunks.groups import Groups
    from kvtransfer.requests.request_state import RequestState


class VllmBlockNames:
    """Implements :class:`kvtransfer.requests.router_events.event.BlockNames` for vLLM.

    Args:
        block_tokens: tokens of a block.
        hash_tokens: tokens that one of a request's hashes stands for.
        chunk_tokens: tokens of a chunk.
    """

    @classmethod
    def of(
        cls, groups: Groups, vllm_config: VllmConfig, kv_cache_config: KVCacheConfig
    ) -> VllmBlockNames:
        """Read the sizes from what vLLM has settled on."""
        _, hash_tokens = resolve_kv_cache_block_sizes(kv_cache_config, vllm_config)
        tiling = groups.tilings[0]
        return cls(tiling.block_tokens, hash_tokens, tiling.chunk_tokens)

    def __init__(self, block_tokens: int, hash_tokens: int, chunk_tokens: int) -> None:
        self._block_tokens = block_tokens
        self._hash_tokens = hash_tokens
        self._chunk_tokens = chunk_tokens

    def blocks_of(self, state: RequestState, chunk: int) -> ChunkBlocks | None:
        """Describe chunk number ``chunk``; None where its tokens don't tell its content.

        vLLM gives a request no hashes where its prefix cache is off.
        """
        request: Request = state.request
        if request.cache_salt or request.mm_features or request.prompt_embeds is not None:
            return None
        count = self._chunk_tokens // self._block_tokens
        first = chunk * count
        known = resolve_block_hashes(request.block_hashes, self._hash_tokens, self._block_tokens)
        if len(known) < first + count:
            return None
        hashes = tuple(maybe_convert_block_hash(known[i]) for i in range(first, first + count))
        parent = maybe_convert_block_hash(known[first - 1]) if first else None
        start = chunk * self._chunk_tokens
        tokens = array("I", request.all_token_ids[start : start + self._chunk_tokens])
        lora = request.lora_request
        if lora is None:
            return ChunkBlocks(hashes, parent, tokens)
        return ChunkBlocks(hashes, parent, tokens, lora.adapter_id, lora.lora_name)
