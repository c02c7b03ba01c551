"""vLLM's own requests, hashed as its engine hashes them, and what its block pool publishes of them."""

from __future__ import annotations

from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.block_pool import BlockPool
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.request import Request

BLOCK = 16


def vllm_request(name, tokens, hash_tokens=BLOCK, **more):
    """A request whose prompt is ``tokens``."""
    init_none_hash(sha256)
    return Request(
        request_id=name,
        prompt_token_ids=list(tokens),
        sampling_params=SamplingParams(max_tokens=1),
        pooling_params=None,
        block_hasher=get_request_block_hasher(hash_tokens, sha256),
        **more,
    )


def device_events(request, blocks, hash_tokens=BLOCK):
    """What vLLM publishes when the first ``blocks`` blocks of ``request`` are in device memory."""
    pool = BlockPool(blocks + 1, True, hash_tokens, enable_kv_cache_events=True)
    given = pool.get_new_blocks(blocks)
    pool.cache_full_blocks(request, given, 0, blocks, BLOCK, 0)
    return pool.take_events()
