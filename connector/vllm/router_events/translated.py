"""Makes vLLM's KV events of router events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vllm.distributed.kv_events import BlockRemoved, BlockStored

from kvtransfer.requests.router_events.event import Stored

if TYPE_CHECKING:
    from vllm.distributed.kv_events import KVCacheEvent

    from kvtransfer.requests.router_events.event import RouterEvent


def as_vllm(event: RouterEvent, group: int) -> KVCacheEvent:
    """Make vLLM's event of ours; ``group`` is vLLM's number of the cache group."""
    place = event.place
    if not isinstance(event, Stored):
        return BlockRemoved(
            block_hashes=list(event.hashes),
            medium=place.medium,
            group_idx=group,
            locality=place.locality,
            ownership=place.pool,
        )
    blocks = event.blocks
    name = blocks.adapter_name
    return BlockStored(
        block_hashes=list(blocks.hashes),
        parent_block_hash=blocks.parent,
        token_ids=list(blocks.token_ids),
        block_size=len(blocks.token_ids) // len(blocks.hashes),
        lora_id=blocks.adapter_id,
        medium=place.medium,
        lora_name=name,
        extra_keys=None if name is None else [(name,)] * len(blocks.hashes),
        group_idx=group,
        locality=place.locality,
        ownership=place.pool,
    )
