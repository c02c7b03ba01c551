"""Each process has its own part of the pages, but for those that ranks hold alike."""

from __future__ import annotations

import itertools

import pytest

from kvtransfer.connector.sglang.ranks import Part, Ranks
from kvtransfer.errors import ConfigError
from tests.connector.sglang.processes import storage_config


def ranks(**config):
    return Ranks.of(storage_config({}, **config))


def test_every_rank_has_a_part_of_its_own():
    sizes = (3, 2, 2)
    every = [
        ranks(tp=(tp, 3), cp=(cp, 2), pp=(pp, 2)).sharded
        for tp, cp, pp in itertools.product(*map(range, sizes))
    ]
    assert sorted(part.number for part in every) == list(range(12))
    assert {part.count for part in every} == {12}


def test_what_tensor_parallel_ranks_hold_alike_has_one_part_a_stage():
    every = [ranks(tp=(tp, 4), pp=(1, 2), mla=True) for tp in range(4)]
    assert {each.replicated for each in every} == {Part(1, 2)}
    assert [each.is_writer for each in every] == [True, False, False, False]


def test_a_single_rank_has_all():
    assert ranks().sharded == ranks().replicated == Part(0, 1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tp_lcm_size": 8}, "tp_lcm_size=8"),
        ({"dcp_size": 2, "logical_page_size": 4}, "dcp_size=2"),
    ],
)
def test_other_divisions_are_refused(fields, said):
    with pytest.raises(ConfigError, match=said):
        ranks(tp=(0, 2), mla=True, **fields)


def test_sglang_names_a_model_or_the_settings_do():
    from kvtransfer.connector.sglang.storage import KVTransferStorage

    stores = {"remote_url": "redis://h:6379/0", "weights_name": "w"}
    with pytest.raises(ConfigError, match="set model_name"):
        KVTransferStorage(storage_config(stores, model_name=None))
    KVTransferStorage(storage_config({**stores, "model_name": "m"}, model_name=None))
