"""Describes models with several cache groups as vLLM would, and the same with all in one group."""

from __future__ import annotations

from math import lcm

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.reach import Everything, State, Window
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.connector.vllm.cache_groups import GroupFacts
from kvtransfer.connector.vllm.model_facts import ModelFacts

WINDOW_TOKENS = 1024


def windows() -> ModelFacts:
    """As of Gemma 3 27B: 52 layers of windows and 10 of full attention, in groups of at most 10."""
    size, heads, dim = 256, 16, 128
    counts = [9, 9, 9, 9, 8, 8]
    grouped = [("SlidingWindowSpec", Window(WINDOW_TOKENS), layers) for layers in counts]
    return ModelFacts(
        "org/windows",
        1,
        tuple(
            GroupFacts(
                number,
                kind,
                _names(number, layers),
                Tiling(size, 16, reach),
                ChunkFormat.split("bfloat16", layers, size, heads, dim),
            )
            for number, (kind, reach, layers) in enumerate(
                [*grouped, ("FullAttentionSpec", Everything(), 10)]
            )
        ),
    )


def states() -> ModelFacts:
    """As of Qwen3-Next 80B: 36 recurrent layers and 12 of full attention, in groups of 12."""
    size, layers = 544, 12  # vLLM makes a block of attention as large as a state
    conv_bytes, recurrent_bytes = 8192 * 3 * 2, 32 * 128 * 128 * 2
    state = ChunkFormat.content("int8", layers, 1, 1, conv_bytes + recurrent_bytes)
    attention = ChunkFormat.split("bfloat16", layers, size, 2, 256)
    return ModelFacts(
        "org/states",
        1,
        (
            *(
                GroupFacts(
                    number, "MambaSpec", _names(number, 12), Tiling(size, size, State()), state
                )
                for number in range(3)
            ),
            GroupFacts(3, "FullAttentionSpec", _names(3, 12), Tiling(size, size), attention),
        ),
    )


def whole(facts: ModelFacts) -> ModelFacts:
    """The same model, if every layer were stored of every chunk: one group, with all its bytes."""
    size = facts.groups.chunk_tokens
    nbytes = sum(
        group.chunk.nbytes * size // (group.tiling.piece_blocks * group.tiling.block_tokens)
        for group in facts.cache_groups
    )
    tiling = Tiling(size, lcm(*(group.tiling.block_tokens for group in facts.cache_groups)))
    chunk = ChunkFormat.content("int8", 1, 1, 1, nbytes)
    return ModelFacts(
        facts.model_name, 1, (GroupFacts(0, "FullAttentionSpec", ("all",), tiling, chunk),)
    )


def _names(group: int, layers: int) -> tuple[str, ...]:
    return tuple(f"model.layers.{group}.{layer}.attn" for layer in range(layers))
