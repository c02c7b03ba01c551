"""Joins what the workers of all pipeline stages hold of a chunk, for the scheduler's side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from kvtransfer.connector.vllm.caches.stage_formats import StageFormats
from kvtransfer.connector.vllm.messages import FactsMessage
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.chunks.groups import Groups
    from kvtransfer.chunks.keys import EntryKeys
    from kvtransfer.chunks.layout import Formats
    from kvtransfer.config import TransferConfig
    from kvtransfer.connector.vllm.caches.model_facts import ModelFacts
    from kvtransfer.connector.vllm.caches.ranks import Ranks


@dataclass(frozen=True)
class Stages:
    """Describes the KV cache of a whole model: that of each pipeline stage, in order.

    Without pipeline parallelism there is one stage.
    """

    facts: tuple[ModelFacts, ...]

    @classmethod
    def of_workers(cls, own: ModelFacts, told: Mapping[tuple[int, int], object]) -> Stages:
        """Join what the workers have told.

        Args:
            own: what the scheduler's side knows, which is the first worker's.
            told: the workers' messages, by pipeline stage and tensor-parallel rank.

        Raises:
            ConfigError: a worker's message is missing, or the workers don't fit each other.
        """
        ranks = own.ranks
        stages = tuple(
            _agreed([_facts(told, stage, rank) for rank in range(ranks.tensor)])
            for stage in range(ranks.stages)
        )
        replicas = [facts.ranks.replicas for facts in stages]
        if len(set(replicas)) > 1:
            raise ConfigError(
                f"the pipeline stages' caches are the same on {replicas} tensor-parallel ranks, "
                "which differs between stages and is not supported; set --pipeline-parallel-size 1"
            )
        if any(facts.groups != own.groups for facts in stages):
            raise ConfigError(
                "the pipeline stages cut their caches into different blocks or chunks, which is "
                "not supported; set --pipeline-parallel-size 1"
            )
        return cls(stages)

    @property
    def ranks(self) -> Ranks:
        """The numbers of workers and shards."""
        return self.facts[0].ranks

    @property
    def groups(self) -> Groups:
        """How a request's tokens lie in the blocks and chunks of each group, on every stage."""
        return self.facts[0].groups

    @cached_property
    def formats(self) -> Formats:
        """The formats of the pieces of every stage."""
        stages = tuple(facts.formats for facts in self.facts)
        return stages[0] if len(set(stages)) == 1 else StageFormats(stages)

    @property
    def largest(self) -> Formats:
        """The formats of the stage with the largest pieces."""
        return max((facts.formats for facts in self.facts), key=lambda each: each.slot_bytes)

    @property
    def composition(self) -> list[list[object]]:
        """What a key says of the groups of each stage, as plain JSON."""
        return [[group.composition for group in facts.cache_groups] for facts in self.facts]

    def names(self, config: TransferConfig) -> EntryKeys:
        """The names of the model's chunks in a store, with the shards that each piece has."""
        holders = tuple(self._holders(group) for group in range(len(self.groups.tilings)))
        everywhere = tuple(range(self.ranks.shards))
        if all(shards == everywhere for shards in holders):
            holders = ()
        return self.facts[0].names(config, holders)

    def _holders(self, group: int) -> tuple[int, ...]:
        return tuple(
            shard
            for stage, facts in enumerate(self.facts)
            if facts.formats.formats[group].nbytes
            for shard in self.ranks.shards_of(stage)
        )


def _facts(told: Mapping[tuple[int, int], object], stage: int, rank: int) -> ModelFacts:
    message = told.get((stage, rank))
    if not isinstance(message, FactsMessage):
        raise ConfigError(
            f"the worker of stage {stage}, rank {rank} didn't tell what it holds, but "
            f"{type(message).__name__}: with pipeline parallelism, or a model like DeepSeek V3.2 "
            "whose layers have pages of several kinds, a MultiConnector must list "
            "KVTransferConnector before connectors that exchange metadata of their own"
        )
    return message.facts


def _agreed(ranks: list[ModelFacts]) -> ModelFacts:
    """Return what all tensor-parallel ranks of a stage say alike."""
    if any(facts != ranks[0] for facts in ranks):
        raise ConfigError(
            "tensor-parallel ranks of one pipeline stage keep different caches, which is not "
            "supported; set --pipeline-parallel-size 1"
        )
    return ranks[0]
