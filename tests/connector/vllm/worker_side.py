"""A worker's side as vLLM's worker has it, over small caches in host memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import torch

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.config import TransferConfig
from kvtransfer.connector.vllm.keys.loaded_adapters import LoadedAdapters
from kvtransfer.requests.keys.weights import Expectation, Holding

if TYPE_CHECKING:
    from kvtransfer.connector.vllm.worker import WorkerSide

CHUNK_TOKENS, BLOCK_TOKENS, BLOCKS = 64, 32, 8
WEIGHTS = "those at start"


class Weights:
    """What a model holds: whatever a test sets."""

    def __init__(self) -> None:
        self.holds = WEIGHTS
        self.holding = Holding(WEIGHTS, 0)

    def check(self, expected: Expectation) -> bool:
        before, self.holding = self.holding, Holding(self.holds, expected.plan)
        return before.fingerprint != self.holds


def no_blender(paged: object) -> NoReturn:
    """In place of what opens a model for blending: these workers have none."""
    raise AssertionError(f"no test that has such a worker blends, but {paged!r} was to be")


def opened(weights: Weights | None = None) -> WorkerSide:
    """The only rank's, with host memory alone."""
    from kvtransfer.connector.vllm.caches.cache_groups import GroupFacts, Section
    from kvtransfer.connector.vllm.caches.model_facts import ModelFacts
    from kvtransfer.connector.vllm.caches.ranks import Ranks
    from kvtransfer.connector.vllm.worker import WorkerSide

    chunk = ChunkFormat.split("float32", 2, CHUNK_TOKENS, 2, 32)
    sections = (Section(("layer.0", "layer.1"), chunk),)
    group = GroupFacts(0, "FullAttentionSpec", Tiling(CHUNK_TOKENS, BLOCK_TOKENS), sections)
    facts = ModelFacts("tiny", Ranks(), (group,))
    caches = {f"layer.{n}": torch.randn(BLOCKS, 2, BLOCK_TOKENS, 64) for n in range(2)}
    config = TransferConfig.load({"chunk_size": CHUNK_TOKENS, "max_local_cpu_size": 0.01})
    holds, adapters = weights or Weights(), LoadedAdapters(None)
    return WorkerSide(config, facts, 0, caches, holds, adapters, no_blender)
