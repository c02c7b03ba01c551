"""Cuts what a worker holds into the shards that engines of other tensor-parallel sizes hold, too.

Tensor parallelism gives each rank a contiguous range of a model's heads. A store that keeps every
chunk in as many shards as the largest engine has ranks therefore serves the smaller ones as well:
their ranks hold several whole shards each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.config import TransferConfig
    from kvtransfer.connector.vllm.caches.cache_groups import GroupFacts, Section
    from kvtransfer.connector.vllm.caches.ranks import Ranks

_SETTING = "tensor_parallel_shards"


def shards_each(config: TransferConfig, ranks: Ranks, groups: Sequence[GroupFacts]) -> int:
    """Return how many shards each worker holds, so that a chunk has as many as ``config`` wants.

    A chunk has no more shards than the model has heads: the ranks of a larger engine share them.

    Raises:
        ConfigError: the ranks or the heads can't be cut so.
    """
    wanted = config.tensor_parallel_shards
    if wanted is None:
        return 1
    if config.weights_name is None:
        raise ConfigError(
            f"{_SETTING}={wanted} shares nothing without weights_name, for each size holds other "
            "tensors; set weights_name to one word in all engines with the same weights"
        )
    distinct = ranks.tensor // ranks.replicas
    each = {_each(wanted, distinct, section) for group in groups for section in group.sections}
    if len(each) > 1:
        raise ConfigError(
            f"{_SETTING}={wanted} doesn't fit layers with different numbers of heads; leave it unset"
        )
    return each.pop() if each else 1


def cut(groups: Sequence[GroupFacts], shards: int) -> tuple[GroupFacts, ...]:
    """Return ``groups`` with all that one rank holds of them cut into ``shards``."""
    if shards == 1:
        return tuple(groups)
    return tuple(
        replace(
            group,
            sections=tuple(_shard(section, shards) for section in group.sections),
            shards=shards,
        )
        for group in groups
    )


def _each(wanted: int, distinct: int, section: Section) -> int:
    heads = section.chunk.plane_shape[1]
    shards = min(wanted, heads * distinct)
    if shards % distinct or heads % (shards // distinct):
        raise ConfigError(
            f"{_SETTING}={wanted} doesn't fit {distinct} ranks with {heads} heads each; set it to "
            "the largest tensor-parallel size of the engines that share a store, which must be a "
            "multiple of each other's and divide the heads"
        )
    return shards // distinct


def _shard(section: Section, shards: int) -> Section:
    chunk = section.chunk
    heads = chunk.plane_shape[1] // shards
    shape = (*chunk.shape[:-2], heads, chunk.shape[-1])
    part = ChunkFormat(chunk.layout, chunk.dtype, shape, chunk.tokens, chunk.nbytes // shards)
    return replace(section, chunk=part)
