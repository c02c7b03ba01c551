from __future__ import annotations

from dataclasses import replace

import pytest
from vllm.v1.kv_offload.config import (
    OffloadingCacheConfig,
    OffloadingGroupConfig,
    OffloadingModelConfig,
)

from kvtransfer.config import TransferConfig
from kvtransfer.connector.vllm.offloading.row_names import RowNames
from kvtransfer.stores.record import parse_base_key
from tests.connector.vllm.offloading.engine_of_rows import config, key

pytestmark = pytest.mark.vllm


def name(offloading=None, settings=None, covered="model", row_bytes=4096, number=0):
    names = RowNames.of(
        offloading or config(), TransferConfig.of(**(settings or {})), covered, row_bytes
    )
    return names(key(number))


def test_names_are_the_same_in_every_process():
    assert name() == "model@1@0@bf30e26c44f4043f2fca683231c824a2"


@pytest.mark.parametrize(
    "changed",
    [
        {"groups": (OffloadingGroupConfig(32, ("layers.0",), 0),)},
        {"groups": (OffloadingGroupConfig(16, ("layers.1",), 0),)},
        {"groups": (OffloadingGroupConfig(16, ("layers.0",), 1),)},
        {"model": OffloadingModelConfig("model", "bfloat16")},
        {"cache": OffloadingCacheConfig(16, 2)},
        {"cache": OffloadingCacheConfig(8, 1)},
        {"worker_kv_bytes_per_block": 2048},
        {"replicated_layout": True},
        {"canonical_layout": True},
        {"kv_cache_layout": "HND"},
    ],
    ids=str,
)
def test_whatever_shapes_a_row_changes_its_name(changed):
    assert name(config(**changed)) != name()


@pytest.mark.parametrize("size", ["world_size", "tp_size", "pp_size", "pcp_size", "dcp_size"])
def test_so_does_every_way_to_divide_the_cache(size):
    divided = replace(config().parallel, **{size: 2})
    assert name(config(parallel=divided)) != name()


def test_so_do_the_model_the_operators_word_the_size_and_the_chunk():
    others = [
        name(covered="another"),
        name(settings={"namespace": "b"}),
        name(row_bytes=8192),
        name(number=1),
    ]
    assert len({name(), *others}) == 5


def test_what_does_not_shape_it_leaves_the_name():
    replica = replace(config().parallel, rank=0, data_parallel_index=1, data_parallel_size=2)
    assert name(config(engine_id="another", parallel=replica)) == name()


def test_the_operator_may_name_the_model():
    assert parse_base_key(name(settings={"model_name": "a@b"})).model_name == "a@b"


def test_private_names_are_never_made_twice():
    names = RowNames(b"space", "model")
    assert len({names(key(0)), names.private()(key(0)), names.private()(key(0))}) == 3
