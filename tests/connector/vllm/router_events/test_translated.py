from vllm.distributed.kv_events import BlockRemoved, BlockStored

from kvtransfer.connector.vllm.router_events.translated import as_vllm
from kvtransfer.requests.router_events.event import ChunkBlocks, Place, Removed, Stored

POOL = Place("STORAGE", "REMOTE", "ours")


def test_a_chunk_is_one_event_of_its_blocks_and_its_removal_has_the_same_owner():
    blocks = ChunkBlocks((1, 2), 9, [5, 6, 7, 8])
    stored = as_vllm(Stored(POOL, blocks), 0)
    assert stored == BlockStored(
        block_hashes=[1, 2],
        parent_block_hash=9,
        token_ids=[5, 6, 7, 8],
        block_size=2,
        lora_id=None,
        medium="STORAGE",
        lora_name=None,
        group_idx=0,
        locality="REMOTE",
        ownership="ours",
    )
    removed = as_vllm(Removed(POOL, blocks.hashes), 0)
    assert removed == BlockRemoved(
        block_hashes=[1, 2], medium="STORAGE", group_idx=0, locality="REMOTE", ownership="ours"
    )


def test_an_adapters_blocks_say_so():
    blocks = ChunkBlocks((1, 2), None, [5, 6, 7, 8], 3, "style")
    stored = as_vllm(Stored(Place("CPU"), blocks), 0)
    assert (stored.lora_id, stored.lora_name) == (3, "style")
    assert stored.extra_keys == [("style",), ("style",)]
