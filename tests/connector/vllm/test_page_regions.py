"""The scheduler's side counts the bytes of a piece as the workers' sides do."""

from __future__ import annotations

import pytest

from benchmarks.families import FAMILIES
from benchmarks.recorded_groups import cache_config, recorded
from kvtransfer.connector.vllm.cache_groups import cache_groups
from kvtransfer.connector.vllm.page_regions import regions
from tests.connector.vllm.recorded_tensors import with_tensors

pytestmark = pytest.mark.vllm

WITH_SECTIONS = ("DeepSeek V3.2", "GLM-5", "MiniMax M3")
LAYOUTS = ("LBNHC", "LBHNC", "BLNHC", "BLHNC")


def config(name, layout):
    (family,) = (family for family in FAMILIES if family.name == name)
    return with_tensors(cache_config(recorded(family)), layout)


def schedulers(config):
    """What vLLM gives to its scheduler where its workers are given ``config``."""
    from vllm.v1.core.kv_cache_utils import generate_scheduler_kv_cache_config

    return generate_scheduler_kv_cache_config([config])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", WITH_SECTIONS)
def test_both_sides_agree_on_the_length_of_a_piece(name, layout):
    workers = config(name, layout)
    (worker,) = cache_groups(workers, 256)
    (scheduler,) = cache_groups(schedulers(workers), 256)
    assert worker.has_sections
    assert scheduler.has_sections
    assert scheduler.chunk.nbytes == worker.chunk.nbytes
    assert scheduler.chunk.tokens == worker.chunk.tokens
    for ours, theirs in zip(scheduler.sections, worker.sections, strict=True):
        assert (ours.layer_names, ours.chunk.nbytes) == (theirs.layer_names, theirs.chunk.nbytes)


def test_a_group_with_pages_of_one_kind_is_one_region():
    workers = config("Qwen 3.5", "LBNHC")
    for group in workers.kv_cache_groups:
        (region,) = regions(workers, group)
        page_bytes = group.kv_cache_spec.page_size_bytes
        assert region.block_bytes == len(group.layer_names) * page_bytes
    both = [cache_groups(config, 256) for config in (workers, schedulers(workers))]
    assert both[0] == both[1]
