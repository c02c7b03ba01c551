"""Engines of different tensor-parallel sizes read each other's chunks, head by head."""

from __future__ import annotations

from functools import partial
from itertools import permutations

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
HEADS = 4
SIZES = (1, 2, 4)


def uniform(heads):
    return [layers([partial(full, heads)] * 3)]


def windows(heads):
    return [layers([partial(full, heads), *[partial(window, heads)] * 3])]


def in_stages(heads):
    return cut([partial(full, heads)] * 3, 2, 1)


@pytest.fixture
def shared(tmp_path):
    return {
        "local_storage": str(tmp_path / "disk"),
        "max_local_storage_size": 0.1,
        "weights_name": "tiny",
        "tensor_parallel_shards": max(SIZES),
    }


def ranks_of(stages, size, shared):
    return Ranks(stages(HEADS // size), size, **shared)


def whole(ranks, caches):
    """The caches of all heads, by layer."""
    found = {}
    for of_rank in caches:
        for name, cache in of_rank.items():
            found.setdefault(name, []).append(cache)
    return {name: torch.cat(heads, dim=1) for name, heads in found.items()}


@pytest.mark.parametrize("stages", [uniform, windows, in_stages])
@pytest.mark.parametrize(("before", "after"), list(permutations(SIZES, 2)))
def test_what_one_size_saved_another_restores(stages, before, after, shared):
    ranks = ranks_of(stages, before, shared)
    caches = ranks.random_caches()
    with engine(ranks, caches) as saving:
        pieces = placements(saving.groups, KEY)
        assert not saving.save(pieces)
    ranks = ranks_of(stages, after, shared)
    empty = [
        {name: torch.zeros_like(cache) for name, cache in each.items()}
        for each in ranks.random_caches()
    ]
    with engine(ranks, empty) as loading:
        keys = list(loading.groups.piece_keys([KEY]))
        assert loading.found(keys) == set(keys)
        assert not loading.load(pieces)
    saved, restored = whole(ranks, caches), whole(ranks, empty)
    for group in ranks.scheduler_facts.cache_groups:
        written = slice(1, 1 + group.tiling.piece_blocks)
        for section in group.sections:
            for name in section.layer_names:
                assert torch.equal(restored[name][written], saved[name][written])
                assert not restored[name][written.stop :].any()


def test_one_missing_shard_of_many_is_a_miss(shared, tmp_path):
    ranks = ranks_of(uniform, 1, shared)
    with engine(ranks, ranks.random_caches()) as saving:
        pieces = placements(saving.groups, KEY)
        assert not saving.save(pieces)
        removed = [
            path
            for path in (tmp_path / "disk").rglob("*")
            if path.is_file() and b'"worker_id": "2"' in path.read_bytes()
        ]
    assert len(removed) == 1
    with engine(ranks, ranks.random_caches()) as loading:
        assert loading.found([KEY]) == {KEY}
        removed[0].unlink()
        assert loading.load(pieces)  # it vanished between the lookup and the load
    with engine(ranks, ranks.random_caches()) as loading:
        assert loading.found([KEY]) == set()


def test_without_a_word_for_the_weights_sizes_share_nothing_and_say_so(shared):
    del shared["weights_name"]
    with pytest.raises(ConfigError, match="set weights_name to one word"):
        ranks_of(uniform, 1, shared)


@pytest.mark.parametrize("wanted", [1, 3, 6])
def test_shards_that_ranks_or_heads_cannot_have_are_refused(wanted, shared):
    shared["tensor_parallel_shards"] = wanted
    with pytest.raises(ConfigError, match=f"tensor_parallel_shards={wanted} doesn't fit 2 ranks"):
        Ranks(uniform(8), 2, **shared)


def test_layers_with_different_numbers_of_heads_are_refused(shared):
    mixed = [layers([partial(full, 4), partial(latent)])]
    with pytest.raises(ConfigError, match="different numbers of heads"):
        Ranks(mixed, 1, **shared)


def test_more_ranks_than_heads_leave_as_many_shards_as_heads(shared):
    shared["tensor_parallel_shards"] = 16
    assert ranks_of(uniform, 2, shared).stages.ranks.shards == HEADS


@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_latent_has_one_shard_on_all_sizes(size, shared):
    shared["tensor_parallel_shards"] = 8
    stages = Ranks([layers([latent] * 3)], size, **shared).stages
    assert stages.ranks.shards == 1
    assert stages.formats.entries == stages.formats
