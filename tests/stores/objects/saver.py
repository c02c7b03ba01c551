"""A process that saves caches of known numbers to the bucket that it is given."""

from __future__ import annotations

import sys

import torch

from kvtransfer import KVTransfer, PagedCaches, TransferConfig

BLOCKS, BLOCK_TOKENS, CHUNK_TOKENS = 16, 4, 8
TOKENS = list(range(30))  # three chunks and a rest


def layers_of(seed):
    torch.manual_seed(seed)
    return [torch.randn(BLOCKS, 2, BLOCK_TOKENS, 6) for _ in range(2)]


def opened(layers, **settings):
    config = TransferConfig.of(
        chunk_size=CHUNK_TOKENS, max_local_cpu_size=0.001, remote_timeout_ms=60_000, **settings
    )
    return KVTransfer.open(
        config, PagedCaches.split(layers, CHUNK_TOKENS), model_name="m", facts={}
    )


if __name__ == "__main__":
    url, serde = sys.argv[1:]
    with opened(layers_of(7), remote_url=url, remote_serde=serde) as kv:
        print(kv.save(TOKENS, range(8)).wait())
