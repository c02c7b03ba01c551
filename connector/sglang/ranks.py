"""Says which part of a model's pages one process of SGLang holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from sglang.srt.mem_cache.hicache_storage import HiCacheStorageConfig


@dataclass(frozen=True)
class Part:
    """One of equally large parts of all pages; its numbers stand in base keys."""

    number: int
    count: int
    """How many parts there are."""


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those that serve the model."""

    tp: Part
    cp: Part
    """The part of context parallelism in attention, where each rank holds other tokens of a page."""
    pp: Part
    is_writer: bool
    """Whether it writes what all tensor-parallel ranks hold alike."""

    @classmethod
    def of(cls, config: HiCacheStorageConfig) -> Ranks:
        """Read the place from SGLang's ``config``.

        Raises:
            ConfigError: pages are divided in a way that isn't supported.
        """
        if config.dcp_size > 1:
            raise ConfigError(
                f"dcp_size={config.dcp_size}: decode context parallelism isn't supported; set it to 1"
            )
        if config.tp_lcm_size:
            raise ConfigError(
                f"tp_lcm_size={config.tp_lcm_size}: engines of different tensor-parallel sizes share "
                "no pages; remove it"
            )
        return cls(
            Part(config.tp_rank, config.tp_size),
            Part(config.attn_cp_rank, config.attn_cp_size),
            Part(config.pp_rank, config.pp_size),
            config.is_storage_writer,
        )

    @property
    def replicated(self) -> Part:
        """The part of pages that all tensor-parallel ranks hold alike, as those of MLA."""
        return Part(self.pp.number * self.cp.count + self.cp.number, self.pp.count * self.cp.count)

    @property
    def sharded(self) -> Part:
        """The part of pages of which each tensor-parallel rank holds its own heads."""
        outer = self.replicated
        return Part(outer.number * self.tp.count + self.tp.number, outer.count * self.tp.count)


@dataclass(frozen=True)
class Place:
    """What pages of one process are named by, beside their pool."""

    model_name: str
    weights_name: str | None
    namespace: str
    ranks: Ranks
    is_alike: bool
    """Whether all tensor-parallel ranks hold the same keys and values, as of MLA."""
