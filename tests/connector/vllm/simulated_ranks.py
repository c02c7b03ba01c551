"""All workers of an engine in one process, over small caches that vLLM's own functions have grouped."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import torch

from kvtransfer.chunks.tiling import Placement
from kvtransfer.config import TransferConfig
from kvtransfer.connector.vllm.keys.loaded_adapters import LoadedAdapters
from kvtransfer.plan import Plan, Report
from kvtransfer.requests.keys.weights import Expectation
from kvtransfer.requests.step import StepPlan
from kvtransfer.scheduling.lookup.lookup import Lookup
from kvtransfer.scheduling.planner import Planner
from tests.connector.vllm.worker_side import WEIGHTS, Weights, no_blender

if TYPE_CHECKING:
    from kvtransfer.connector.vllm.caches.stages import Stages

BLOCK_TOKENS, BLOCKS, CHUNK_TOKENS = 16, 10, 64
HEADS, DIM = 2, 32
FOREVER_S = 30.0


def full(heads=HEADS):
    """The specification of a layer that keeps everything."""
    from vllm.v1.kv_cache_interface import FullAttentionSpec

    return FullAttentionSpec(**_dense(heads))


def window(heads=HEADS):
    """The specification of a layer with a sliding window."""
    from vllm.v1.kv_cache_interface import SlidingWindowSpec

    return SlidingWindowSpec(**_dense(heads), sliding_window=96)


def latent(dim=DIM):
    """The specification of a layer of MLA, which all tensor-parallel ranks hold alike."""
    from vllm.v1.kv_cache_interface import MLAAttentionSpec

    return MLAAttentionSpec(
        block_size=BLOCK_TOKENS, num_kv_heads=1, head_size=dim, dtype=torch.float32, max_tp_shards=1
    )


def _dense(heads):
    return {
        "block_size": BLOCK_TOKENS,
        "num_kv_heads": heads,
        "head_size": DIM,
        "dtype": torch.float32,
    }


def layers(specs, first=0):
    """The specification of each layer, by name; each is made when an engine is."""
    return {f"layers.{number}.attn": spec for number, spec in enumerate(specs, first)}


def cut(specs, *counts):
    """The layers of pipeline stages that have these numbers of them."""
    starts = [sum(counts[:stage]) for stage in range(len(counts))]
    assert sum(counts) == len(specs)
    return [
        layers(specs[start : start + count], start)
        for start, count in zip(starts, counts, strict=True)
    ]


class Ranks:
    """The configurations of each worker, as vLLM makes them, and what is read of them."""

    def __init__(self, stages, tensor=1, **settings):
        from vllm.config import VllmConfig
        from vllm.v1.core.kv_cache_utils import (
            generate_scheduler_kv_cache_config,
            get_kv_cache_configs,
        )

        settings = {
            "chunk_size": CHUNK_TOKENS,
            "max_local_cpu_size": 0.01,
            "lookup_timeout_ms": 30_000,
            **settings,
        }
        self.config = TransferConfig.load(settings)
        self.vllm_config = VllmConfig()
        self.vllm_config.parallel_config.pipeline_parallel_size = len(stages)
        self.vllm_config.parallel_config.tensor_parallel_size = tensor
        self.vllm_config.model_config = SimpleNamespace(
            original_max_model_len=64, max_model_len=64, is_hybrid=False
        )
        self.vllm_config.cache_config.kv_cache_layout = "BLNHC"
        specs = [
            {name: spec() for name, spec in stage.items()}
            for stage in stages
            for _ in range(tensor)
        ]
        configs = get_kv_cache_configs(self.vllm_config, specs, [1 << 24] * len(specs))
        self.facts = [self._facts(each) for each in configs]
        self.scheduler_facts = self._facts(generate_scheduler_kv_cache_config(configs))

    @property
    def stages(self) -> Stages:
        """What the scheduler's side knows once the workers have told it."""
        from kvtransfer.connector.vllm.caches.stages import Stages
        from kvtransfer.connector.vllm.messages import FactsMessage

        told = dict(enumerate(map(FactsMessage, self.facts)))
        tensor = self.scheduler_facts.ranks.tensor
        return Stages.of_workers(
            self.scheduler_facts, {divmod(rank, tensor): each for rank, each in told.items()}
        )

    def _facts(self, kv_cache_config):
        from kvtransfer.connector.vllm.caches.cache_groups import are_mixed, cache_groups
        from kvtransfer.connector.vllm.caches.model_facts import ModelFacts
        from kvtransfer.connector.vllm.caches.ranks import Ranks
        from kvtransfer.connector.vllm.caches.shared_shards import cut, shards_each

        ranks = Ranks.of(self.vllm_config, kv_cache_config, self.config)
        groups = cache_groups(kv_cache_config, self.config.chunk_size)
        each = shards_each(self.config, ranks, groups)
        ranks = replace(ranks, shards_each=each)
        return ModelFacts("tiny", ranks, cut(groups, each), are_mixed(kv_cache_config))

    def random_caches(self):
        """Caches of each worker, by layer; those of workers with the same shard are equal."""
        made = {}
        for rank, facts in enumerate(self.facts):
            made.setdefault(facts.ranks.shards_on(rank), _caches(facts))
        return [
            {name: cache.clone() for name, cache in made[facts.ranks.shards_on(rank)].items()}
            for rank, facts in enumerate(self.facts)
        ]


def _caches(facts):
    return {
        name: torch.randn(_shape(section.chunk, group.shards))
        for group in facts.cache_groups
        for section in group.sections
        for name in section.layer_names
    }


def _shape(chunk, shards):
    heads, dim = chunk.shape[-2:]
    return BLOCKS, heads * shards, BLOCK_TOKENS, dim * (2 if chunk.layout == "split" else 1)


class Engine:
    """The workers of ``ranks`` and what plans their jobs; each step is one of all workers."""

    def __init__(self, ranks, caches):
        from kvtransfer.connector.vllm.worker import WorkerSide

        stages, config = ranks.stages, ranks.config
        self.groups = stages.groups
        self.workers = [
            WorkerSide(
                config, facts, rank, caches[rank], Weights(), LoadedAdapters(None), no_blender
            )
            for rank, facts in enumerate(ranks.facts)
        ]
        self.planner = Planner.open(config, stages.formats, stages.ranks.workers)
        self.lookup = Lookup.open(config, stages.formats, stages.names(config))
        self.names = stages.names(config)
        self._steps = 0

    def step(self, **jobs):
        """Carry out ``jobs`` on every worker; returns what the scheduler makes of the reports."""
        from kvtransfer.connector.vllm.messages import PlanMessage

        self._steps += 1
        plan = StepPlan(Plan(**{kind: tuple(each) for kind, each in jobs.items()}), poll_s=0.05)
        expected = Expectation(self._steps, (WEIGHTS,) * len(self.workers))
        message = PlanMessage(plan, expected)
        summed = Report()
        for worker in self.workers:
            worker.before_writes(message)
            worker.load(message)
            worker.save(message)
            worker.take_report(plan)
            if (told := worker.report(message)) is not None:
                summed.add(told.report)
        return self.planner.settle(summed)

    def save(self, placements):
        """Save pieces and wait until the store has them; returns the jobs that failed."""
        saves = self.planner.save_all(placements)
        settled = self.step(saves=saves)
        copied, failed = set(settled.copied), set(settled.failed)
        while self.planner.is_putting or len(copied) < len(saves):
            settled = self.step(puts=self.planner.plan_puts())
            copied, failed = copied | set(settled.copied), failed | settled.failed
        assert copied == {save.job for save in saves}
        return failed

    def load(self, placements):
        """Load pieces; returns the jobs that failed."""
        loads = self.planner.load(placements)
        assert len(loads) == len(placements)
        settled = self.step(loads=loads)
        loaded, failed = set(settled.loaded), set(settled.failed)
        while len(loaded) < len(loads):
            settled = self.step()
            loaded, failed = loaded | set(settled.loaded), failed | settled.failed
        assert loaded == {load.job for load in loads}
        return failed

    def found(self, keys):
        """Which of ``keys`` the store holds."""
        return set(self.lookup.wait(keys))

    def close(self):
        for worker in self.workers:
            worker.close()
        self.lookup.close()


@contextmanager
def engine(ranks, caches):
    running = Engine(ranks, caches)
    try:
        yield running
    finally:
        running.close()


def placements(groups, key):
    """The pieces of the chunk ``key`` in all groups, in blocks from 1 on."""
    return [
        Placement(each, tuple(range(1, 1 + groups.tilings[group].piece_blocks)))
        for group, each in enumerate(groups.piece_keys([key]))
    ]
