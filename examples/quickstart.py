"""kvtransfer on your own tensors, without vLLM: compute once, restore elsewhere, compare.

Run it with ``python examples/quickstart.py``; it brings its own Redis-compatible server.
"""

import torch

from kvtransfer import KVTransfer, PagedCaches, TransferConfig
from kvtransfer.stores.embedded import EmbeddedServer

LAYERS, BLOCKS, BLOCK_TOKENS, HEADS, DIM = 4, 64, 16, 2, 64


def engine(url: str) -> tuple[list[torch.Tensor], KVTransfer]:
    """An engine's paged caches, one [blocks, heads, tokens, keys + values] a layer, with a cache."""
    layers = [torch.randn(BLOCKS, HEADS, BLOCK_TOKENS, 2 * DIM) for _ in range(LAYERS)]
    caches = PagedCaches.split(layers, chunk_tokens=256)
    config = TransferConfig.of(remote_url=url, max_local_cpu_size=0.1)
    facts = {"weights": "example"}  # whatever else decides the bytes
    return layers, KVTransfer.open(config, caches, model_name="example", facts=facts)


def main() -> None:
    tokens = list(range(700))  # two whole chunks of 256, and a rest that is computed anew
    with EmbeddedServer(maxmemory_bytes=64 << 20) as server:
        computed, first = engine(server.url)
        blocks = list(range(32))
        with first:  # leaving it hands the chunks to the store
            print(f"saved    {first.save(tokens, blocks).wait()} tokens from blocks 0..31")

        restored, second = engine(server.url)  # another process would do the same
        with second:
            elsewhere = list(range(63, 31, -1))
            print(f"found    {second.lookup(tokens)} tokens of {len(tokens)} in the store")
            print(f"restored {second.load(tokens, elsewhere).wait()} tokens into blocks 63..32")
    same = all(
        torch.equal(a[blocks], b[elsewhere]) for a, b in zip(computed, restored, strict=True)
    )
    print("the blocks are equal, bit by bit" if same else "the blocks DIFFER")
    raise SystemExit(not same)


if __name__ == "__main__":
    main()
