"""vLLM's tiering with a tier of ours, without an engine: the calls that an engine makes of it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
from vllm.v1.kv_offload.base import (
    LookupResult,
    ReqContext,
    ScheduleEndContext,
    make_offload_key,
)
from vllm.v1.kv_offload.config import (
    OffloadingCacheConfig,
    OffloadingConfig,
    OffloadingGroupConfig,
    OffloadingModelConfig,
    OffloadingParallelConfig,
)
from vllm.v1.kv_offload.tiering.manager import (
    CPUPrimaryTierOffloadingManager,
    TieringOffloadingManager,
)

from kvtransfer.connector.vllm.offloading.tier import KVTransferTier

ROW_BYTES = 4096
DEADLINE_S = 60
PATIENT = {"lookup_timeout_ms": 60_000, "remote_timeout_ms": 60_000, "load_timeout_ms": 60_000}


def config(**changes):
    """What vLLM tells of a model with one cache group on one worker."""
    sizes = dict.fromkeys(("world_size", "tp_size", "pp_size", "pcp_size", "dcp_size"), 1)
    given = {
        "groups": (OffloadingGroupConfig(16, ("layers.0",), 0),),
        "worker_kv_bytes_per_block": ROW_BYTES,
        "enable_kv_cache_events": False,
        "extra_config": {},
        "engine_id": "engine",
        "model": OffloadingModelConfig("model", "float16"),
        "cache": OffloadingCacheConfig(16, 1),
        "parallel": OffloadingParallelConfig(
            rank=0,
            data_parallel_index=0,
            data_parallel_size=1,
            data_parallel_rank_local=None,
            is_parallelism_agnostic=True,
            **sizes,
        ),
    }
    return OffloadingConfig(**{**given, **changes})


def key(number, group=0):
    """What vLLM calls chunk ``number``."""
    return make_offload_key(b"%032d" % number, group)


class EngineOfRows:
    """Stores and restores rows by vLLM's tiering, step by step.

    Args:
        chunks: of its host memory.
        covered: what the tier's keys cover.
        offloading: what vLLM tells of its model.
        settings: the tier's own.
    """

    def __init__(self, chunks=16, covered="model", offloading=None, **settings):
        self.memory = np.zeros((chunks, ROW_BYTES), np.int8)
        spec = SimpleNamespace(config=offloading or config())
        region = SimpleNamespace(
            create_kv_memoryview=lambda: memoryview(self.memory), cleanup=lambda: None
        )
        self._primary = CPUPrimaryTierOffloadingManager(chunks, region)
        view = self._primary.get_kv_memoryview()
        self.tier = KVTransferTier(
            spec, view, "ours", covered_by_keys=covered, **{**PATIENT, **settings}
        )
        self.manager = TieringOffloadingManager(self._primary, [self.tier])
        self._requests = 0

    def request(self):
        """A new one."""
        self._requests += 1
        request = ReqContext(f"request-{self._requests}")
        self.manager.on_new_request(request)
        return request

    def store(self, *keys):
        """Have a request compute chunks, and wait until the tier has ended."""
        request = self.request()
        output = self.manager.prepare_store(keys, request)
        for name, chunk in zip(output.keys_to_store, output.store_spec.chunk_ids, strict=True):
            self.memory[chunk] = content(name)
        self.manager.complete_store(output.keys_to_store, request)
        self.manager.on_request_finished(request)
        self.settle()

    def restore(self, *keys):
        """Whether a request finds each of ``keys`` with its content."""
        request = self.request()
        found = self.look_up(request, *keys)
        ready = [name for name, is_there in zip(keys, found, strict=True) if is_there]
        chunks = self.manager.prepare_load(ready, request).chunk_ids
        for name, chunk in zip(ready, chunks, strict=True):
            assert (self.memory[chunk] == content(name)).all()
        self.manager.complete_load(ready, request)
        self.manager.on_request_finished(request)
        return found

    def look_up(self, request, *keys):
        """Whether each of ``keys`` is there, once vLLM knows."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            results = [self.manager.lookup(name, request) for name in keys]
            if not {LookupResult.RETRY, LookupResult.HIT_PENDING} & set(results):
                return [result is LookupResult.HIT for result in results]
            assert time.monotonic() < deadline_s, results
            self.step()

    def step(self):
        """The end of a step."""
        self.manager.on_schedule_end(ScheduleEndContext([], []))

    def settle(self):
        """Step until no job is left."""
        deadline_s = time.monotonic() + DEADLINE_S
        while self.manager.has_pending_work():
            assert time.monotonic() < deadline_s
            self.step()
            time.sleep(0.001)

    def close(self):
        self.manager.shutdown()


def content(name):
    """What the row of a chunk holds."""
    return np.frombuffer(np.random.default_rng(list(name)).bytes(ROW_BYTES), np.int8)
