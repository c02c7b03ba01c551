"""Pipeline stages and replicated shards: what each worker holds, puts and gets back."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from kvtransfer.errors import ConfigError
from tests.connector.vllm.simulated_ranks import (
    Ranks,
    cut,
    engine,
    full,
    latent,
    layers,
    placements,
    window,
)

pytestmark = pytest.mark.vllm

KEY = "a" * 32
GEMMA = [full if number % 6 == 5 else window for number in range(26)]
ONE_OF_FOUR = [full, window, window, window]


def restored(ranks):
    """What a fresh engine has in its caches after loading what another one has saved."""
    caches = ranks.random_caches()
    with engine(ranks, caches) as saving:
        keys = list(saving.groups.piece_keys([KEY]))
        pieces = placements(saving.groups, KEY)
        assert saving.found(keys) == set()
        assert not saving.save(pieces)
        assert saving.found(keys) == set(keys)
    empty = [{name: torch.zeros_like(it) for name, it in each.items()} for each in caches]
    with engine(ranks, empty) as loading:
        assert loading.found(keys) == set(keys)
        assert not loading.load(pieces)
    return caches, empty


def assert_pieces_are_equal(ranks, caches, found):
    for facts, before, after in zip(ranks.facts, caches, found, strict=True):
        for group in facts.cache_groups:
            written = slice(1, 1 + group.tiling.piece_blocks)
            for section in group.sections:
                for name in section.layer_names:
                    assert torch.equal(after[name][written], before[name][written])
                    assert not after[name][written.stop :].any()


@pytest.fixture
def disk(tmp_path):
    return {"local_storage": str(tmp_path / "disk"), "max_local_storage_size": 0.1}


@pytest.mark.parametrize(
    ("stages", "tensor"),
    [
        (cut([full] * 5, 3, 2), 1),
        (cut(GEMMA, 13, 13), 2),
        (cut(GEMMA, 7, 7, 6, 6), 1),
        (cut(ONE_OF_FOUR, 2, 2), 1),
        (cut([latent] * 3, 2, 1), 4),
    ],
    ids=["llama pp2", "gemma pp2 tp2", "gemma pp4", "stages without a group", "latent pp2 tp4"],
)
def test_each_worker_gets_back_its_own_layers(stages, tensor, disk):
    ranks = Ranks(stages, tensor, **disk)
    caches, found = restored(ranks)
    assert_pieces_are_equal(ranks, caches, found)


def test_a_piece_has_no_shard_of_a_stage_without_layers_of_its_group(disk):
    ranks = Ranks(cut(ONE_OF_FOUR, 2, 2), 2, **disk)
    stages = ranks.stages
    held = [[bool(group.sections) for group in facts.cache_groups] for facts in stages.facts]
    assert sorted(map(sum, held)) == [2, 2]  # of four groups
    names = stages.names(ranks.config)
    assert names.world_size == 4
    for group, key in enumerate(stages.groups.piece_keys([KEY])):
        of_first_stage = held[0][group]
        shards = (0, 1) if of_first_stage else (2, 3)
        assert names.shards(key) == [names.shard(shard, key) for shard in shards]


def test_where_all_stages_have_layers_of_all_groups_all_shards_are_asked_for(disk):
    names = Ranks(cut(GEMMA, 13, 13), **disk).stages.names(Ranks(cut(GEMMA, 13, 13)).config)
    assert names.holders == ()
    assert len(names.shards(KEY)) == 2


def test_a_missing_shard_of_one_stage_is_a_miss(disk, tmp_path):
    ranks = Ranks(cut([full] * 4, 2, 2), **disk)
    restored(ranks)
    with engine(ranks, ranks.random_caches()) as running:
        assert running.found([KEY]) == {KEY}
    for path in (tmp_path / "disk").rglob("*"):
        if path.is_file() and b'"worker_id": "1"' in path.read_bytes():
            path.unlink()
    with engine(ranks, ranks.random_caches()) as running:
        assert running.found([KEY]) == set()


def test_the_stage_with_the_largest_pieces_decides_on_the_number_of_slots():
    from kvtransfer.host_memory import slots

    ranks = Ranks(cut([full] * 5, 2, 3))
    counts = [slots(ranks.config, facts.formats) for facts in ranks.facts]
    assert counts[0] > counts[1]
    assert slots(ranks.config, ranks.stages.formats) == min(counts)


def test_an_entry_has_the_format_of_the_stage_that_its_shard_is_of():
    ranks = Ranks(cut([full] * 5, 2, 3), tensor=2)
    stages = ranks.stages
    names = stages.names(ranks.config)
    found = [stages.formats.of(names.shard(rank, KEY)) for rank in range(4)]
    assert found == [facts.formats.formats[0] for facts in ranks.facts]
    assert set(stages.formats.formats) == set(found)
    assert found[0] != found[2]


def test_one_worker_of_each_eight_puts_a_replicated_shard_and_all_read_it(disk):
    ranks = Ranks([layers([latent] * 3)], tensor=8, **disk)
    assert ranks.scheduler_facts.ranks.replicas == 8
    caches = ranks.random_caches()
    with engine(ranks, caches) as saving:
        pieces = placements(saving.groups, KEY)
        assert saving.names.world_size == 1
        assert not saving.save(pieces)
        put = [side.counted().get("put_bytes", 0) for side in saving.workers]
    piece_bytes = ranks.stages.formats.slot_bytes
    assert put == [piece_bytes] + [0] * 7
    empty = [{name: torch.zeros_like(it) for name, it in each.items()} for each in caches]
    with engine(ranks, empty) as loading:
        assert not loading.load(pieces)
        fetched = [side.counted()["fetched_bytes"] for side in loading.workers]
    assert fetched == [piece_bytes] * 8
    assert_pieces_are_equal(ranks, caches, empty)


@pytest.mark.parametrize(
    ("backend", "disk_is_used", "replicas"),
    [("mp", True, 4), (None, True, 4), ("ray", True, 1), ("ray", False, 4)],
)
def test_workers_that_may_be_on_several_machines_share_no_disk(
    backend, disk_is_used, replicas, disk
):
    from kvtransfer.config import TransferConfig
    from kvtransfer.connector.vllm.caches.ranks import Ranks as Numbers

    ranks = Ranks([layers([latent])], tensor=4)
    parallel = ranks.vllm_config.parallel_config
    parallel.distributed_executor_backend = backend
    config = TransferConfig.load(disk if disk_is_used else {})
    found = Numbers.of(ranks.vllm_config, type("Config", (), {"kv_tp_replicas": 4}), config)
    assert found.replicas == replicas
    assert found.shards == 4 // replicas


def test_workers_are_numbered_stage_by_stage():
    from kvtransfer.connector.vllm.caches.ranks import Ranks as Numbers

    ranks = Numbers(tensor=4, stages=2, replicas=2)
    numbers = [ranks.rank(stage, tensor) for stage in range(2) for tensor in range(4)]
    assert numbers == list(range(8))
    assert [ranks.shards_on(rank).start for rank in numbers] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [ranks.puts(rank) for rank in numbers] == [True, False] * 4
    assert [ranks.shards_of(stage) for stage in range(2)] == [range(2), range(2, 4)]


def test_another_cut_into_stages_is_another_key():
    seen = [
        Ranks(cut([full] * 6, *counts)).stages.composition
        for counts in ((6,), (3, 3), (2, 4), (4, 2), (2, 2, 2))
    ]
    assert all(one != other for i, one in enumerate(seen) for other in seen[:i])


def test_the_first_workers_configuration_hides_pages_of_a_second_kind():
    mixed = {**layers([latent, latent]), **layers([partial(latent, 8)] * 2, 2)}
    ranks = Ranks([mixed])
    assert ranks.scheduler_facts.are_partial
    (told,) = ranks.stages.facts
    assert told == ranks.facts[0]
    assert len(told.cache_groups[0].sections) == 2
    assert not Ranks([layers([latent] * 2)]).scheduler_facts.are_partial


def test_a_worker_that_tells_nothing_is_refused():
    from kvtransfer.connector.vllm.caches.stages import Stages

    own = Ranks(cut([full] * 4, 2, 2)).scheduler_facts
    with pytest.raises(ConfigError, match=r"stage 0, rank 0 didn't tell .* MultiConnector must"):
        Stages.of_workers(own, {(0, 0): object()})


def test_stages_that_do_not_fit_each_other_are_refused():
    from kvtransfer.connector.vllm.caches.stages import Stages
    from kvtransfer.connector.vllm.messages import FactsMessage

    first, second = Ranks(cut([full] * 4, 2, 2)).facts
    others = replace(second, ranks=replace(second.ranks, replicas=2))
    with pytest.raises(ConfigError, match=r"same on \[1, 2\] tensor-parallel ranks"):
        Stages.of_workers(first, {(0, 0): FactsMessage(first), (1, 0): FactsMessage(others)})
    cut_otherwise = Ranks(cut([full] * 4, 2, 2), chunk_size=128).facts[1]
    with pytest.raises(ConfigError, match="different blocks or chunks"):
        Stages.of_workers(first, {(0, 0): FactsMessage(first), (1, 0): FactsMessage(cut_otherwise)})


def test_what_a_worker_tells_is_the_same_in_another_process():
    from kvtransfer.connector.vllm.messages import FactsMessage

    for facts in Ranks(cut(ONE_OF_FOUR, 2, 2)).facts:
        assert facts.formats.slot_bytes
        assert pickle.loads(pickle.dumps(FactsMessage(facts))) == FactsMessage(facts)


def connectors(ranks, monkeypatch):
    """The scheduler's and the first workers' side, and the arguments of each opened scheduler."""
    from kvtransfer.connector import KVTransferConnector
    from kvtransfer.connector.vllm import connector as module

    opened = []
    monkeypatch.setattr(module, "open_scheduler", lambda *given: opened.append(given[2]) or SIDE)
    monkeypatch.setattr(module, "note_resets", lambda manager, cache, pins: None)
    made = []
    for facts in (ranks.scheduler_facts, *ranks.facts):
        side = KVTransferConnector.__new__(KVTransferConnector)
        side._vllm_config, side._config = ranks.vllm_config, ranks.config
        side._facts, side._kv_cache_manager, side._pins = facts, None, None
        side._kv_cache_config = None
        made.append(side)
    return made[0], made[1:], opened


SIDE = SimpleNamespace()


def test_the_schedulers_side_opens_with_what_the_workers_tell(monkeypatch):
    ranks = Ranks(cut([full] * 5, 2, 3))
    scheduler, workers, opened = connectors(ranks, monkeypatch)
    told = {(stage, 0): side.get_handshake_metadata() for stage, side in enumerate(workers)}
    scheduler.set_xfer_handshake_metadata_pp_aware(told)
    assert opened == [ranks.stages]
    assert scheduler._scheduler is SIDE


def test_without_stages_nothing_is_told_and_what_others_tell_is_ignored(monkeypatch):
    ranks = Ranks([layers([full] * 5)])
    scheduler, (worker,), opened = connectors(ranks, monkeypatch)
    assert worker.get_handshake_metadata() is None
    scheduler.set_xfer_handshake_metadata_pp_aware({(0, 0): object()})
    assert opened == []
