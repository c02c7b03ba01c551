"""Keeps what is blended out of vLLM's own prefix cache, where other requests would find it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from vllm.v1.core.kv_cache_utils import BlockHash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vllm.v1.core.kv_cache_manager import KVCacheManager
    from vllm.v1.request import Request

    from kvtransfer.requests.loading.match import Span


def make_private(request: Request, spans: Sequence[Span], manager: KVCacheManager) -> None:
    """Give the blocks of a span that isn't exact, and all behind it, hashes that no other request has.

    vLLM enters a request's blocks into its prefix cache under ``request.block_hashes``, each of
    which continues from the one before. One random entry therefore makes all behind it unique,
    those of generated tokens, too. The exact prefix stays shared, and a preempted request finds its
    own blocks again. Where vLLM keeps no prefix cache there is nothing to do.
    """
    if all(span.is_exact for span in spans):
        return
    exact_tokens = next(span.first_token for span in spans if not span.is_exact)
    kept = exact_tokens // manager.block_pool.hash_block_size
    hashes = request.block_hashes
    if request._block_hasher is None or kept >= len(hashes):
        return
    random = BlockHash(secrets.token_bytes(len(hashes[kept])))
    hashes[kept:] = [random]
    request.update_block_hashes()
