"""Describes models with several cache groups as vLLM would, and the same with all in one group."""

from __future__ import annotations

from math import lcm

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.reach import State, Window
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.connector.vllm.caches.cache_groups import GroupFacts, Section
from kvtransfer.connector.vllm.caches.model_facts import ModelFacts
from kvtransfer.connector.vllm.caches.ranks import Ranks

WINDOW_TOKENS = 1024


def windows() -> ModelFacts:
    """As of Gemma 3 27B: 52 layers of windows and 10 of full attention, in groups of at most 10."""
    size, window = 256, Tiling(256, 16, Window(WINDOW_TOKENS))
    layers = [9, 9, 9, 9, 8, 8, 10]
    chunks = [ChunkFormat.split("bfloat16", count, size, 16, 128) for count in layers]
    *short, full = chunks
    groups = [_group(0, "FullAttentionSpec", Tiling(size, 16), full)]
    groups += [_group(i, "SlidingWindowSpec", window, chunk) for i, chunk in enumerate(short, 1)]
    return ModelFacts("org/windows", Ranks(), tuple(groups))


def states() -> ModelFacts:
    """As of Qwen3-Next 80B: 36 recurrent layers and 12 of full attention, in groups of 12."""
    size, layers = 544, 12  # vLLM makes a block of attention as large as a state
    conv_bytes, recurrent_bytes = 8192 * 3 * 2, 32 * 128 * 128 * 2
    chunk = ChunkFormat.content("int8", layers, 1, 1, conv_bytes + recurrent_bytes)
    attention = ChunkFormat.split("bfloat16", layers, size, 2, 256)
    groups = [_group(0, "FullAttentionSpec", Tiling(size, size), attention)]
    groups += [_group(i, "MambaSpec", Tiling(size, size, State()), chunk) for i in range(1, 4)]
    return ModelFacts("org/states", Ranks(), tuple(groups))


def whole(facts: ModelFacts) -> ModelFacts:
    """The same model, if every layer were stored of every chunk: one group, with all its bytes."""
    size = facts.groups.chunk_tokens
    nbytes = sum(
        group.chunk.nbytes * size // (group.tiling.piece_blocks * group.tiling.block_tokens)
        for group in facts.cache_groups
    )
    tiling = Tiling(size, lcm(*(group.tiling.block_tokens for group in facts.cache_groups)))
    chunk = ChunkFormat.content("int8", 1, 1, 1, nbytes)
    return ModelFacts(facts.model_name, Ranks(), (_group(0, "FullAttentionSpec", tiling, chunk),))


def _group(number: int, kind: str, tiling: Tiling, chunk: ChunkFormat) -> GroupFacts:
    names = tuple(f"model.layers.{number}.{layer}.attn" for layer in range(chunk.shape[0]))
    return GroupFacts(number, kind, tiling, (Section(names, chunk),))
