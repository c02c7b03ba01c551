"""Numbers an engine's workers and the shards of a chunk that they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.config import ParallelConfig, VllmConfig
    from vllm.v1.kv_cache_interface import KVCacheConfig

    from kvtransfer.config import TransferConfig

_ON_ONE_MACHINE = (None, "mp", "uni")


@dataclass(frozen=True)
class Ranks:
    """Numbers workers as vLLM does: stage by stage, and in each stage by tensor-parallel rank.

    A shard is what a worker holds of every chunk, or one of several equal parts of it.
    Neighbouring tensor-parallel ranks may hold the same shards: all of them read their entries in a
    store, and the first of them puts them there.
    """

    tensor: int = 1
    """Tensor-parallel workers of each stage."""
    stages: int = 1
    """Pipeline stages."""
    replicas: int = 1
    """How many workers hold the same shards; it divides ``tensor``."""
    shards_each: int = 1
    """How many neighbouring shards each worker holds."""

    @classmethod
    def of(
        cls, vllm_config: VllmConfig, kv_cache_config: KVCacheConfig, config: TransferConfig
    ) -> Ranks:
        """Return the ranks of the engine as it is configured."""
        parallel = vllm_config.parallel_config
        # One machine's disk doesn't have what a worker of another machine has put into its own.
        has_own_disks = config.local_storage is not None and _may_spread(parallel)
        return cls(
            parallel.tensor_parallel_size,
            parallel.pipeline_parallel_size,
            1 if has_own_disks else kv_cache_config.kv_tp_replicas,
        )

    @property
    def workers(self) -> int:
        """How many workers there are."""
        return self.tensor * self.stages

    @property
    def shards(self) -> int:
        """How many entries of a store make up a piece of which every stage has a part."""
        return self.workers // self.replicas * self.shards_each

    def rank(self, stage: int, tensor_rank: int) -> int:
        """The number of a worker."""
        return stage * self.tensor + tensor_rank

    def shards_on(self, rank: int) -> range:
        """The numbers of the shards that worker ``rank`` holds."""
        first = rank // self.replicas * self.shards_each
        return range(first, first + self.shards_each)

    def puts(self, rank: int) -> bool:
        """Whether worker ``rank`` puts its shards into the store."""
        return rank % self.replicas == 0

    def shards_of(self, stage: int) -> range:
        """The numbers of the shards that the workers of ``stage`` hold."""
        first, last = self.rank(stage, 0), self.rank(stage, self.tensor - 1)
        return range(self.shards_on(first).start, self.shards_on(last).stop)


def _may_spread(parallel: ParallelConfig) -> bool:
    """Whether the workers of this engine may run on several machines."""
    backend = parallel.distributed_executor_backend
    return parallel.nnodes_within_dp > 1 or backend not in _ON_ONE_MACHINE
