"""Pages survive a restart of SGLang's processes, bit for bit, and nothing else is ever a hit."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from sglang.srt.mem_cache.hicache_storage import (
    HiCacheStorageExtraInfo,
    PoolHitPolicy,
    PoolName,
    PoolTransfer,
)

from kvtransfer.errors import ConfigError
from tests.connector.sglang.host_pools import (
    LayerFirstPool,
    LogicalPool,
    ScatteredPool,
    UnstorablePool,
    mha,
    mla,
    states,
    tokens_of,
)


def hashes(count, seed=0):
    """Names of pages as SGLang makes them: SHA-256 in hex digits."""
    return [hashlib.sha256(f"{seed} {at}".encode()).hexdigest() for at in range(count)]


def saved(start, pool, pages=(0, 1, 2), **options):
    keys = hashes(len(pages))
    storage = start(pool, **options)
    assert all(storage.batch_set_v1(keys, tokens_of(*pages), HiCacheStorageExtraInfo()))
    return keys


def is_miss(start, keys, pool, **options):
    """Whether a process finds none of ``keys``, neither asked for nor read; its memory stays."""
    storage, before = start(pool, **options), pool.bytes_of(0, 1, 2)
    said = storage.batch_get_v1(keys, tokens_of(0, 1, 2))
    return storage.batch_exists(keys) == 0 and not any(said) and pool.bytes_of(0, 1, 2) == before


@pytest.mark.parametrize(
    "make",
    [
        mha,
        mla,
        lambda **seed: mha("page_first_direct", torch.float16, **seed),
        lambda **seed: mha("layer_first", kind=LayerFirstPool, **seed),
        lambda **seed: mha("layer_first", kind=ScatteredPool, **seed),
        lambda **seed: mha(dtype=torch.float8_e4m3fn, **seed),
    ],
    ids=["page_first", "mla", "page_first_direct", "layer_first", "no addresses", "fp8"],
)
@pytest.mark.parametrize("serde", ["naive", "auto"])
def test_pages_come_back_elsewhere_in_another_process(start, make, serde):
    first, second = make(seed=1), make(seed=2)
    extra = {"remote_serde": serde}
    keys = saved(start, first, extra=extra)
    later = start(second, extra=extra)
    untouched = second.bytes_of(0, 4)
    assert later.batch_exists(keys) == 3
    assert later.exists(keys[0])
    assert later.batch_get_v1(keys, tokens_of(5, 1, 3)) == [True] * 3
    assert second.bytes_of(5, 1, 3) == first.bytes_of(0, 1, 2)
    assert second.bytes_of(0, 4) == untouched


def test_lossless_brings_back_the_same_bits(start):
    first, second = mha(seed=1), mha(seed=2)
    first.tensors[0].normal_()
    first.tensors[1].normal_()
    keys = saved(start, first, extra={"remote_serde": "lossless"})
    assert start(second).batch_get_v1(keys, tokens_of(0, 1, 2)) == [True] * 3
    assert second.bytes_of(0, 1, 2) == first.bytes_of(0, 1, 2)


def test_a_page_in_place_is_an_entry_a_part_and_a_scattered_one_a_single_entry(start, entries):
    saved(start, mha())
    assert len(entries.keys()) == 6
    saved(start, mha("layer_first", kind=LayerFirstPool))
    assert len(entries.keys()) == 6 + 3


def test_hits_are_the_pages_before_the_first_that_is_missing(start):
    pool = mha()
    keys = saved(start, pool)
    storage = start(pool)
    missing, *_ = hashes(1, seed="other")
    asked = [keys[0], missing, keys[1], keys[2]]
    assert storage.batch_exists(asked) == 1
    assert storage.batch_get_v1(asked, tokens_of(0, 1, 2, 3))[:2] == [True, False]
    assert storage.batch_exists([]) == 0
    assert storage.batch_get_v1([], torch.arange(0)) == []


def test_a_part_that_is_gone_makes_its_page_a_miss(start, entries):
    pool = mha()
    keys = saved(start, pool)
    entries.remove_one_record()
    storage = start(pool)
    assert storage.batch_exists(keys) < 3
    assert not all(storage.batch_get_v1(keys, tokens_of(0, 1, 2)))


@pytest.mark.parametrize("make", [mha, lambda: mha("layer_first", kind=LayerFirstPool)])
def test_damaged_entries_are_misses(start, entries, make):
    pool = make()
    keys = saved(start, pool)
    entries.flip_a_bit_of_each_payload()
    storage = start(pool)
    assert not any(storage.batch_get_v1(keys, tokens_of(0, 1, 2)))
    assert storage.batch_exists(keys) == 0  # they are removed


@pytest.mark.parametrize(
    "other",
    [
        lambda: {"pool": mha("page_first_direct")},
        lambda: {"pool": mha(dtype=torch.float16)},
        lambda: {"pool": mla()},
        lambda: {"pool": mha(), "tp": (0, 2)},
        lambda: {"pool": mha(), "tp": (1, 2)},
        lambda: {"pool": mha(), "pp": (1, 2)},
        lambda: {"pool": mha(), "cp": (1, 2)},
        lambda: {"pool": mha(), "model_name": "another"},
        lambda: {"pool": mha(), "extra": {"weights_name": "w2"}},
        lambda: {"pool": mha(), "extra": {"namespace": "n"}},
        lambda: {"pool": mha(), "extra": {"model_name": "named"}},
    ],
    ids=[
        "layout", "dtype", "kind", "tp size", "tp rank", "pp", "cp", "model", "weights",
        "namespace", "name",
    ],
)  # fmt: skip
def test_whatever_shapes_the_bytes_otherwise_is_a_miss(start, other):
    keys = saved(start, mha())
    assert is_miss(start, keys, **other())


def test_other_heads_of_the_same_number_of_bytes_are_a_miss(start):
    first, second = mha(heads=2), mha(heads=2)
    second.head_num, second.head_dim = 4, 4
    assert is_miss(start, saved(start, first), second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"dtype": torch.float8_e4m3fn}, {"dtype": torch.float8_e5m2}),
        ({"layer_shard_rank": 0}, {"layer_shard_rank": 1}),
    ],
)
def test_what_only_the_device_tells_is_told_apart(start, one, other):
    first, second = mha(dtype=torch.uint8), mha(dtype=torch.uint8)
    first.device_pool, second.device_pool = SimpleNamespace(**one), SimpleNamespace(**other)
    assert is_miss(start, saved(start, first), second)


def test_of_mla_the_first_rank_writes_and_all_read(start, entries):
    first, second = mla(seed=1), mla(seed=2)
    keys = hashes(2)
    follower = start(second, tp=(1, 2), mla=True)
    assert follower.batch_set_v1(keys, tokens_of(0, 1)) == [True] * 2
    assert entries.keys() == []
    start(first, tp=(0, 2), mla=True).batch_set_v1(keys, tokens_of(0, 1))
    assert follower.batch_get_v1(keys, tokens_of(0, 1)) == [True] * 2
    assert second.bytes_of(0, 1) == first.bytes_of(0, 1)


def test_states_of_such_a_model_are_of_each_rank(start):
    keys = hashes(1)
    ranks = [start(mla(), tp=(rank, 2), mla=True) for rank in (0, 1)]
    pools = [states(seed=rank) for rank in (0, 1)]
    for storage, pool in zip(ranks, pools, strict=True):
        storage.register_mem_host_pool_v2(pool, PoolName.MAMBA)
        moved = PoolTransfer(PoolName.MAMBA, host_indices=tokens_of(0), keys=keys)
        assert storage.batch_set_v2([moved]) == {PoolName.MAMBA: [True]}
    before = [pool.bytes_of(0) for pool in pools]
    assert before[0] != before[1]
    for storage, pool, content in zip(ranks, pools, before, strict=True):
        pool.wipe()
        moved = PoolTransfer(PoolName.MAMBA, host_indices=tokens_of(0), keys=keys)
        assert storage.batch_get_v2([moved]) == {"mamba": [True]}
        assert pool.bytes_of(0) == content


def test_a_draft_with_heads_beside_mla_is_never_another_ranks(start):
    keys = hashes(1)
    first, second = (start(mla(), tp=(rank, 2), mla=True) for rank in (0, 1))
    for storage in (first, second):
        storage.register_mem_host_pool_v2(mha(), PoolName.DRAFT)
    moved = PoolTransfer(PoolName.DRAFT, host_indices=tokens_of(0), keys=keys)
    assert first.batch_set_v2([moved])["draft"] == [True]
    assert second.batch_get_v2([moved])["draft"] == [False]


class TestHybrid:
    """A model with states beside its keys and values, through the second interface."""

    @pytest.fixture
    def storage(self, start):
        storage = start(mha())
        storage.register_mem_host_pool_v2(storage.mem_pool_host, PoolName.KV)
        storage.register_mem_host_pool_v2(states(), PoolName.MAMBA)
        return storage

    @staticmethod
    def state_at(storage, keys, page):
        moved = PoolTransfer(PoolName.MAMBA, host_indices=tokens_of(page), keys=[keys[page]])
        assert storage.batch_set_v2([moved])["mamba"] == [True]

    def test_all_pools_come_back(self, storage, start):
        keys = hashes(3)
        transfers = [
            PoolTransfer(name, host_indices=tokens_of(0, 1, 2), keys=keys)
            for name in (PoolName.KV, PoolName.MAMBA)
        ]
        assert storage.batch_set_v2(transfers) == {"kv": [True] * 3, "mamba": [True] * 3}
        later = start(mha(seed=7))
        later.register_mem_host_pool_v2(later.mem_pool_host, PoolName.KV)
        later.register_mem_host_pool_v2(states(seed=8), PoolName.MAMBA)
        assert later.batch_get_v2(transfers) == {"kv": [True] * 3, "mamba": [True] * 3}
        for name, pool in storage.registered_pools.items():
            assert later.registered_pools[name].bytes_of(0, 1, 2) == pool.bytes_of(0, 1, 2)

    def test_the_first_interface_finds_what_the_second_wrote(self, storage, start):
        keys = hashes(2)
        moved = PoolTransfer(PoolName.KV, host_indices=tokens_of(0, 1), keys=keys)
        storage.batch_set_v2([moved])
        assert start(mha()).batch_get_v1(keys, tokens_of(0, 1)) == [True] * 2

    def test_a_prefix_ends_where_a_state_is(self, storage):
        keys = hashes(6)
        storage.batch_set_v1(keys[:5], tokens_of(0, 1, 2, 3, 4))
        for page in (1, 3):
            self.state_at(storage, keys, page)
        asked = PoolTransfer(
            PoolName.MAMBA, keys=keys[-1:], hit_policy=PoolHitPolicy.TRAILING_PAGES
        )
        found = storage.batch_exists_v2(keys, [asked])
        assert found.kv_hit_pages == 4
        assert found.restorable_prefix_pages == [2, 4]
        assert found.extra_pool_hit_pages == {PoolName.KV: 5, PoolName.MAMBA: 4}

    def test_a_pool_that_is_needed_throughout_ends_a_prefix(self, storage):
        keys = hashes(4)
        storage.batch_set_v1(keys, tokens_of(0, 1, 2, 3))
        for page in (0, 1, 3):
            self.state_at(storage, keys, page)
        found = storage.batch_exists_v2(keys, [PoolTransfer(PoolName.MAMBA)])
        assert (found.kv_hit_pages, found.restorable_prefix_pages) == (2, [1, 2])

    def test_nothing_is_found_where_nothing_is(self, storage):
        asked = PoolTransfer(PoolName.MAMBA, hit_policy=PoolHitPolicy.TRAILING_PAGES)
        found = storage.batch_exists_v2(hashes(2), [asked])
        assert (found.kv_hit_pages, found.extra_pool_hit_pages) == (0, {})

    def test_another_form_of_the_same_pages_decides_nothing(self, storage):
        keys = hashes(2)
        storage.batch_set_v1(keys, tokens_of(0, 1))
        asked = PoolTransfer(PoolName.DRAFT, hit_policy=PoolHitPolicy.BLOCK_GROUPS)
        assert storage.batch_exists_v2(keys, [asked]).kv_hit_pages == 2

    def test_what_sglang_should_not_ask_is_a_miss(self, storage):
        keys = hashes(2)
        unknown = PoolTransfer(PoolName.SWA, host_indices=tokens_of(0, 1), keys=keys)
        short = PoolTransfer(PoolName.MAMBA, host_indices=tokens_of(0), keys=keys)
        without = PoolTransfer(PoolName.KV, keys=keys)
        empty = PoolTransfer(PoolName.INDEXER)
        for move in (storage.batch_set_v2, storage.batch_get_v2):
            said = move([unknown, short, without, empty])
            assert said == {
                "swa": [False] * 2, "mamba": [False] * 2, "kv": [False] * 2, "indexer": []
            }  # fmt: skip
        assert storage.batch_exists_v2(keys, [unknown]).kv_hit_pages == 0


def test_a_main_pool_without_memory_is_always_there(start):
    storage = start(LogicalPool())
    storage.register_mem_host_pool_v2(mla(), PoolName.DEEPSEEK_V4_C4)
    keys = hashes(2)
    assert storage.batch_set_v1(keys, tokens_of(0, 1)) == [True] * 2
    assert storage.batch_get_v1(keys, tokens_of(0, 1)) == [True] * 2
    moved = PoolTransfer(PoolName.DEEPSEEK_V4_C4, host_indices=tokens_of(0), keys=keys[:1])
    storage.batch_set_v2([moved])
    assert storage.batch_exists_v2(keys, [moved]).kv_hit_pages == 1


def test_a_dead_store_costs_hits_and_nothing_else(start, server):
    pool = mha()
    keys = saved(start, pool)
    storage = start(pool)
    server.close()
    assert storage.batch_exists(keys) == 0
    assert not any(storage.batch_get_v1(keys, tokens_of(0, 1, 2)))
    assert not any(storage.batch_set_v1(keys, tokens_of(0, 1, 2)))


def test_a_time_that_is_over_leaves_the_rest_out(start):
    pool = mha()
    keys = saved(start, pool)
    storage = start(pool, extra={"load_timeout_ms": 1, "remote_connections": 1})
    said = storage.batch_get_v1(keys * 1000, tokens_of(0, 1, 2).repeat(1000))
    assert len(said) == 3000
    assert said == sorted(said, reverse=True) or not all(said)


def test_reads_and_writes_may_run_at_once(start):
    pool = mha()
    storage = start(pool)
    with ThreadPoolExecutor(4) as threads:
        for _ in range(20):
            keys = hashes(3)
            done = [
                threads.submit(storage.batch_set_v1, keys, tokens_of(0, 1, 2)),
                threads.submit(storage.batch_exists, keys),
                threads.submit(storage.batch_get_v1, keys, tokens_of(0, 1, 2)),
            ]
            assert done[0].result() == [True] * 3
            assert done[1].result() in range(4)
            assert len(done[2].result()) == 3
    assert pool.bytes_of(0, 1, 2) == mha().bytes_of(0, 1, 2)


def test_a_folder_serves_too(start, tmp_path):
    extra = {"local_storage": str(tmp_path / "pages"), "max_local_storage_size": 0.1}
    pool = mha(seed=1)
    keys = saved(start, pool, extra={**extra, "remote_url": None})
    later = mha(seed=2)
    assert all(start(later, extra=extra).batch_get_v1(keys, tokens_of(0, 1, 2)))
    assert later.bytes_of(0, 1, 2) == pool.bytes_of(0, 1, 2)


def test_pages_as_tensors_are_misses(start):
    pool = mha()
    keys = saved(start, pool)
    storage = start(pool)
    assert storage.get(keys[0], pool.get_dummy_flat_data_page()) is None
    assert storage.batch_get(keys) == [None] * 3
    assert not storage.set(keys[0], pool.get_data_page(0))
    assert not storage.batch_set(keys, [pool.get_data_page(0)] * 3)


def test_clearing_keeps_what_others_share(start, caplog):
    pool = mha()
    keys = saved(start, pool)
    storage = start(pool)
    storage.clear()
    assert storage.batch_exists(keys) == 3
    assert "clears no store" in caplog.text


def test_a_pool_whose_pages_cannot_be_stored_is_refused_at_start(start):
    with pytest.raises(ConfigError, match=r"host pool kv .*UnstorablePool.* scales live elsewhere"):
        start(mha(kind=UnstorablePool))
    interleaved = mha()
    interleaved.shard_size = 2
    with pytest.raises(ConfigError, match="interleaved over 2 ranks"):
        start(interleaved)
