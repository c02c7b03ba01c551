"""``python -m tests.stores.mooncake.transfer save|restore URL``: one of two processes that share."""

from __future__ import annotations

import sys

import torch

from kvtransfer import KVTransfer, PagedCaches, TransferConfig

BLOCKS, BLOCK_TOKENS, CHUNK_TOKENS = 32, 16, 64
TOKENS = list(range(300))  # four chunks and a rest


def main(action, url):
    torch.manual_seed(1)
    computed = [torch.randn(BLOCKS, 2, BLOCK_TOKENS, 64) for _ in range(3)]
    layers = computed if action == "save" else [torch.zeros_like(layer) for layer in computed]
    config = TransferConfig.of(
        remote_url=url, remote_timeout_ms=120_000, chunk_size=CHUNK_TOKENS, max_local_cpu_size=0.01
    )
    caches = PagedCaches.split(layers, CHUNK_TOKENS)
    with KVTransfer.open(config, caches, model_name="m", facts={}) as kv:
        if action == "save":
            print(kv.save(TOKENS, range(19)).wait())
            return
        print(kv.lookup(TOKENS), kv.load(TOKENS, range(19)).wait())
    pairs = zip(layers, computed, strict=True)
    print(all(torch.equal(a[:16], b[:16]) for a, b in pairs))


if __name__ == "__main__":
    main(*sys.argv[1:])
