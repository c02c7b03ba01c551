"""Reads the facts of a model's KV cache from vLLM's configuration, and its tensors as planes.

What the facts alone show to be unsupported is refused here. ``config_check.py`` refuses the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kvtransfer.chunks.groups import Groups
from kvtransfer.chunks.keys import EntryKeys
from kvtransfer.chunks.layout import GroupFormats
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.chunks.reach import State
from kvtransfer.connector.vllm.caches.cache_groups import are_mixed, cache_groups
from kvtransfer.connector.vllm.caches.cpu_packing import cpu_caches
from kvtransfer.connector.vllm.caches.layer_order import in_order
from kvtransfer.connector.vllm.caches.quantised_groups import quantise
from kvtransfer.connector.vllm.caches.ranks import Ranks
from kvtransfer.connector.vllm.caches.shared_shards import cut, shards_each
from kvtransfer.connector.vllm.config_check import refuse_block_size, refuse_config
from kvtransfer.connector.vllm.reuse_verdict import refuse_groups
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from vllm.config import VllmConfig
    from vllm.v1.kv_cache_interface import KVCacheConfig

    from kvtransfer.chunks.layout import ChunkFormat, Formats
    from kvtransfer.chunks.tiling import Tiling
    from kvtransfer.config import TransferConfig
    from kvtransfer.connector.vllm.caches.cache_groups import GroupFacts, Section


@dataclass(frozen=True)
class ModelFacts:
    """Describes a model's KV cache; the scheduler's and the workers' side must agree on it."""

    model_name: str
    """vLLM's name of the model; the folder's name alone where it was loaded from one."""
    ranks: Ranks
    """The workers, each of which holds a part of every chunk."""
    cache_groups: tuple[GroupFacts, ...]
    """What is kept, by cache group; a pipeline stage may have no layers of some of them."""
    are_mixed: bool = False
    """Whether layers of one group differ in ways that vLLM hides from the scheduler's side."""

    @property
    def are_partial(self) -> bool:
        """Whether the scheduler's side has to be told by the workers what they hold."""
        return self.ranks.stages > 1 or self.are_mixed

    @cached_property
    def groups(self) -> Groups:
        """How a request's tokens lie in the blocks and chunks of each group."""
        return Groups(tuple(group.tiling for group in self.cache_groups))

    @cached_property
    def formats(self) -> Formats:
        """The formats of one rank's pieces."""
        if len(self.cache_groups) == 1:
            return self.cache_groups[0].chunk
        formats = tuple(group.chunk for group in self.cache_groups)
        return GroupFormats(formats, self.groups.main, self.groups.chunk_tokens)

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The numbers that vLLM has for the groups."""
        return tuple(group.number for group in self.cache_groups)

    def names(self, config: TransferConfig, holders: tuple[tuple[int, ...], ...] = ()) -> EntryKeys:
        """The names of its chunks in a store; ``config.model_name`` overrides vLLM's name."""
        return EntryKeys(config.model_name or self.model_name, self.ranks.shards, holders)


def describe(
    vllm_config: VllmConfig, kv_cache_config: KVCacheConfig, config: TransferConfig
) -> ModelFacts:
    """Return the facts of the model that vLLM has loaded.

    Raises:
        ConfigError: the model or its configuration isn't supported; the message says why.
    """
    refuse_config(vllm_config)
    refuse_groups(kv_cache_config)
    groups = cache_groups(kv_cache_config, config.chunk_size)
    if len(groups) == 1:
        refuse_block_size(groups[0].tiling.block_tokens, groups[0].tiling.chunk_tokens)
    ranks = Ranks.of(vllm_config, kv_cache_config, config)
    each = shards_each(config, ranks, groups)
    return ModelFacts(
        _model_name(vllm_config),
        replace(ranks, shards_each=each),
        quantise(cut(groups, each), config.remote_serde, vllm_config.model_config),
        are_mixed(kv_cache_config),
    )


def paged_caches(facts: ModelFacts, caches: Mapping[str, torch.Tensor]) -> list[list[PagedCaches]]:
    """View the tensors that vLLM registers as planes, by group and section, in their layers' order.

    A layer that shares another's cache is registered, too, but belongs to no group.

    Args:
        facts: what the configuration says of them.
        caches: ``[blocks, heads, tokens, content]`` each, by the layer's name. They stay vLLM's;
            the views keep them alive. Layers of different groups lie in the same memory.

    Returns:
        The planes of each cache group; a group without layers on this worker has no section.

    Raises:
        ConfigError: the tensors don't have the format that ``facts`` says, or there are none.
    """
    if not facts.formats.slot_bytes:
        raise ConfigError(
            "a pipeline stage without a layer that keeps a cache is not supported; set "
            "--pipeline-parallel-size 1"
        )
    return [
        [
            _paged(group.tiling, section, _heads_of(section, group, shard, caches))
            for shard in range(group.shards)
            for section in group.sections
        ]
        for group in facts.cache_groups
    ]


def _heads_of(
    section: Section, group: GroupFacts, shard: int, caches: Mapping[str, torch.Tensor]
) -> list[torch.Tensor]:
    """View the heads of number ``shard`` of a worker's shards, layer by layer."""
    tensors = [caches[name] for name in in_order(section.layer_names)]
    if group.shards == 1:
        return tensors
    heads = section.chunk.plane_shape[1]
    return [cache.narrow(1, shard * heads, heads) for cache in tensors]


def _paged(tiling: Tiling, section: Section, tensors: list[torch.Tensor]) -> PagedCaches:
    paged = _viewed(tiling, section.chunk, tensors)
    if paged.chunk != section.chunk.plain:
        raise ConfigError(
            f"vLLM's caches make chunks of {paged.chunk}, its configuration says "
            f"{section.chunk.plain}; this model is not supported"
        )
    return replace(paged, chunk=section.chunk)


def _viewed(tiling: Tiling, chunk: ChunkFormat, tensors: list[torch.Tensor]) -> PagedCaches:
    if isinstance(tiling.reach, State):
        return PagedCaches.content(tensors, 1)
    tokens, block_tokens = chunk.tokens, tiling.block_tokens
    if chunk.layout == "content":
        return PagedCaches.content(tensors, tokens, block_tokens)
    if tensors[0].device.type == "cpu":
        return cpu_caches(tensors, tokens, block_tokens)
    return PagedCaches.split(tensors, tokens, block_tokens)


def _model_name(vllm_config: VllmConfig) -> str:
    # The folder may lie elsewhere on another machine, and keys cover the weights themselves.
    name = vllm_config.model_config.model
    return Path(name).resolve().name if Path(name).is_dir() else name
