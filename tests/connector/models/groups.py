"""How vLLM keeps a model's caches, and what a hit therefore needs of each group: the expectation.

A chunk has a *piece* for each group of layers that vLLM keeps alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import Any

Piece = tuple[int, int]
"""A group and a chunk, both by their number."""


@dataclass(frozen=True)
class Group:
    """Layers that vLLM keeps alike."""

    spec: str
    """vLLM's class for how they are kept."""
    block_tokens: int
    reach_tokens: int | None
    """The length of a window or of a local chunk; None where there is neither."""

    @property
    def is_state(self) -> bool:
        """Whether one block holds all that is kept of the tokens before."""
        return self.spec == "MambaSpec"

    @property
    def reads_all(self) -> bool:
        """Whether later tokens read all tokens before them."""
        return not self.is_state and self.reach_tokens is None

    def first_token(self, hit_tokens: int) -> int:
        """The first token that is read by tokens after the first ``hit_tokens``."""
        if self.is_state:
            return hit_tokens - 1
        if self.reach_tokens is None:
            return 0
        if self.spec == "ChunkedLocalAttentionSpec":
            return hit_tokens // self.reach_tokens * self.reach_tokens
        return max(0, hit_tokens - self.reach_tokens + 1)

    def blocks(self, tokens: int, step_tokens: int) -> int:
        """The most blocks that a request of ``tokens`` has, with ``step_tokens`` computed at once."""
        if self.is_state:
            return 2
        kept = tokens if self.reach_tokens is None else self.reach_tokens + step_tokens
        return -(-min(tokens, kept) // self.block_tokens) + 1


@dataclass(frozen=True)
class Caches:
    """The caches of a model in an engine."""

    groups: tuple[Group, ...]
    """Those that read all tokens first, without those of which vLLM reuses nothing."""
    num_blocks: int

    @classmethod
    def of(cls, groups: list[dict[str, Any]], num_blocks: int) -> Caches:
        """Invert ``dataclasses.asdict``."""
        return cls(tuple(Group(**group) for group in groups), num_blocks)

    @property
    def kinds(self) -> list[tuple[str, int | None]]:
        """How each group is kept, apart from the length of its blocks."""
        return [(group.spec, group.reach_tokens) for group in self.groups]

    def chunk_tokens(self, chunk_size: int) -> int:
        """The tokens of a chunk where the setting is ``chunk_size``."""
        unit = lcm(*(group.block_tokens for group in self.groups))
        if any(group.is_state for group in self.groups):
            return unit
        return -(-chunk_size // unit) * unit

    def blocks(self, tokens: int, step_tokens: int) -> int:
        """The most blocks that a request of ``tokens`` has in all groups."""
        return sum(group.blocks(tokens, step_tokens) for group in self.groups)

    def needed(self, chunks: int, chunk_tokens: int) -> set[Piece]:
        """The pieces without which ``chunks`` chunks can't be restored."""
        hit_tokens = chunks * chunk_tokens
        return {
            (number, chunk)
            for number, group in enumerate(self.groups)
            for chunk in range(group.first_token(hit_tokens) // chunk_tokens, chunks)
        }


def caches_of(kv_cache_config: Any) -> Caches:
    """Read vLLM's ``KVCacheConfig``."""
    from vllm.v1.kv_cache_interface import iter_layer_specs

    every = kv_cache_config.kv_cache_groups
    served = [every[number] for number in kv_cache_config.prefix_cacheable_group_ids]
    specs = [next(iter(iter_layer_specs(group.kv_cache_spec))) for group in served]
    groups = sorted(map(_group, specs), key=lambda group: not group.reads_all)
    return Caches(tuple(groups), kv_cache_config.num_blocks)


def _group(spec: Any) -> Group:
    name = type(spec).__name__
    lengths = {
        "SlidingWindowSpec": "sliding_window",
        "ChunkedLocalAttentionSpec": "attention_chunk_size",
    }
    length = getattr(spec, lengths[name]) if name in lengths else None
    return Group(name, spec.block_size, length)
