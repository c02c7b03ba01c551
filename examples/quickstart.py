"""Uses kvtransfer on your own tensors, without vLLM: saves blocks, restores and compares them.

``python examples/quickstart.py`` keeps the chunks in a folder of its own; with a URL, as in
``python examples/quickstart.py redis://localhost:6379``, they go there.
"""

import sys
import tempfile

import torch

from kvtransfer import KVTransfer, PagedCaches, TransferConfig

LAYERS, BLOCKS, BLOCK_TOKENS, HEADS, DIM = 4, 64, 16, 2, 64


def engine(url: str) -> tuple[list[torch.Tensor], KVTransfer]:
    """Make an engine's paged caches, [blocks, heads, tokens, 2 * dim] a layer, and a KVTransfer."""
    layers = [torch.randn(BLOCKS, HEADS, BLOCK_TOKENS, 2 * DIM) for _ in range(LAYERS)]
    caches = PagedCaches.split(layers, chunk_tokens=256)
    config = TransferConfig.of(remote_url=url, max_local_cpu_size=0.1)
    facts = {"weights": "example"}  # whatever else decides the bytes
    return layers, KVTransfer.open(config, caches, model_name="example", facts=facts)


def main(url: str) -> None:
    tokens, blocks = list(range(700)), list(range(32))  # two whole chunks of 256, and a rest
    computed, first = engine(url)
    with first:  # leaving it hands the chunks to the store
        print(f"saved    {first.save(tokens, blocks).wait()} tokens from blocks 0..31")

    restored, second = engine(url)  # another process would do the same
    with second:
        elsewhere = list(range(63, 31, -1))
        print(f"found    {second.lookup(tokens)} tokens of {len(tokens)} in the store")
        print(f"restored {second.load(tokens, elsewhere).wait()} tokens into blocks 63..32")
    pairs = zip(computed, restored, strict=True)
    same = all(torch.equal(a[blocks], b[elsewhere]) for a, b in pairs)
    print("the blocks are equal, bit by bit" if same else "the blocks DIFFER")
    raise SystemExit(not same)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if len(sys.argv) > 1 else f"disk://{folder}")
