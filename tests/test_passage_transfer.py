"""A passage is loaded at any position, its keys as the model would have rotated them there."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import redis
import torch

from kvtransfer import PagedCaches, PassageTransfer, Rotation, TransferConfig
from kvtransfer.passages.recompute import First, Share
from kvtransfer.stores.embedded.server import EmbeddedServer

LAYERS, HEADS, DIM = 2, 2, 8
BLOCKS, BLOCK_TOKENS, CHUNK_TOKENS = 64, 16, 32
POSITIONS, VOCABULARY = 2048, 1000
NOTHING_ANEW = First(0)


def table():
    frequencies = 10_000 ** -(torch.arange(0, DIM, 2) / DIM)
    angles = torch.arange(POSITIONS)[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


ROTATION = Rotation(table(), "neox")
EMBEDDED = torch.randn(
    LAYERS, 2, VOCABULARY, HEADS, DIM, generator=torch.Generator().manual_seed(0)
)


def computed(layer, token_ids, first=0):
    """What the model keeps of tokens from position ``first`` on: ``[tokens, heads, 2 * dim]``."""
    keys, values = EMBEDDED[layer, :, token_ids]
    rotations = ROTATION.table[first : first + len(token_ids), None]
    cosines, sines = rotations.chunk(2, dim=-1)
    a, b = keys.chunk(2, dim=-1)
    rotated = torch.cat([a * cosines - b * sines, b * cosines + a * sines], dim=-1)
    return torch.cat([rotated, values], dim=-1)


class Engine:
    """Paged caches over which a transfer is open; a prompt's blocks are the first ones."""

    def __init__(self, **settings):
        self.layers = [torch.zeros(BLOCKS, HEADS, BLOCK_TOKENS, 2 * DIM) for _ in range(LAYERS)]
        settings = {"chunk_size": CHUNK_TOKENS, "max_local_cpu_size": 0.01, **settings}
        self.transfer = PassageTransfer.open(
            TransferConfig.of(**settings),
            PagedCaches.split(self.layers, CHUNK_TOKENS),
            model_name="m",
            facts={"weights": "w"},
            rotation=ROTATION,
        )

    def compute(self, token_ids):
        for number, layer in enumerate(self.layers):
            self.tokens(layer)[: len(token_ids)] = computed(number, token_ids)

    def tokens(self, layer):
        """The cache as ``[tokens, heads, 2 * dim]``, to be read and written."""
        return _Tokens(layer)

    def save(self, token_ids):
        self.compute(token_ids)
        return self.transfer.save(token_ids, range(BLOCKS)).wait()

    def empty(self):
        for layer in self.layers:
            layer.zero_()


class _Tokens:
    """Indexes a cache by token."""

    def __init__(self, layer):
        self._layer = layer.transpose(1, 2)

    def __getitem__(self, tokens):
        return self._layer.reshape(-1, HEADS, 2 * DIM)[tokens]

    def __setitem__(self, tokens, values):
        whole = self._layer.reshape(-1, HEADS, 2 * DIM).clone()
        whole[tokens] = values
        self._layer.copy_(whole.view(self._layer.shape))


@contextmanager
def engine(**settings):
    running = Engine(**settings)
    with running.transfer:
        yield running


def passage(tokens, seed):
    return np.random.default_rng(seed).integers(0, VOCABULARY, tokens).tolist()


A, B, C = passage(150, 1), passage(200, 2), passage(170, 3)
SYSTEM = passage(40, 4)
SAVED = SYSTEM + A + B + C
REORDERED = SYSTEM + C + A + B + passage(20, 5)


def assert_loaded(it, token_ids, found):
    """Each copied token is as the model computes it at its place; the others are untouched."""
    copied = torch.zeros(BLOCKS * BLOCK_TOKENS, dtype=torch.bool)
    for copy in found.copies:
        copied[copy.start : copy.end] = True
    for number, layer in enumerate(it.layers):
        right = computed(number, token_ids)
        own = it.tokens(layer)[slice(None)]
        torch.testing.assert_close(
            own[: len(token_ids)][copied[: len(token_ids)]],
            right[copied[: len(token_ids)]],
            rtol=1e-5,
            atol=1e-5,
        )
        assert not own[~copied].any()


def test_reordered_passages_are_found_and_stand_right():
    with engine() as it:
        assert it.save(SAVED) == len(SAVED) // CHUNK_TOKENS * CHUNK_TOKENS
        it.empty()
        found = it.transfer.lookup_passages(REORDERED, recompute=NOTHING_ANEW)
        assert found.copied_tokens >= len(SYSTEM + A + B + C) - CHUNK_TOKENS
        assert it.transfer.load_passages(found, range(BLOCKS)).wait() == found.copied_tokens
        assert_loaded(it, REORDERED, found)


@pytest.mark.parametrize("recompute", [First(16), Share(0.15)])
def test_the_begin_of_each_passage_is_left_to_be_computed(recompute):
    with engine() as it:
        it.save(SAVED)
        it.empty()
        found = it.transfer.lookup_passages(REORDERED, recompute=recompute)
        moved = [copy for copy in found.copies if not copy.is_exact]
        assert moved
        gaps = [token for gap in found.gaps for token in range(gap.start, gap.end)]
        copies = [token for copy in found.copies for token in range(copy.start, copy.end)]
        assert sorted(gaps + copies) == list(range(found.end))
        assert it.transfer.load_passages(found, range(BLOCKS)).wait() == found.copied_tokens
        assert_loaded(it, REORDERED, found)


def test_what_is_there_already_is_not_written():
    with engine() as it:
        it.save(SAVED)
        it.empty()
        found = it.transfer.lookup_passages(REORDERED, skip_tokens=55)
        assert found.start == 55
        assert it.transfer.load_passages(found, range(BLOCKS)).wait() == found.copied_tokens
        assert min(copy.start for copy in found.copies) >= 55
        assert_loaded(it, REORDERED, found)


def test_named_segments_are_reused_as_one():
    segment = [len(SYSTEM), len(SYSTEM + C)]
    with engine() as it:
        it.save(SAVED + SAVED[:CHUNK_TOKENS])  # so that the last chunk of C is whole
        found = it.transfer.lookup_passages(REORDERED, recompute=NOTHING_ANEW, segments=[segment])
        assert [[copy.start, copy.end] for copy in found.copies] == [segment]


def test_another_process_finds_what_it_is_told_of_in_the_store():
    with EmbeddedServer(64 << 20) as server:
        with engine(remote_url=server.url) as saving:
            saving.save(SAVED)
        with engine(remote_url=server.url) as it:
            assert not it.transfer.lookup_passages(REORDERED).copies
            it.transfer.learn_passages(SAVED)
            found = it.transfer.lookup_passages(REORDERED)
            assert it.transfer.load_passages(found, range(BLOCKS)).wait() == found.copied_tokens
            assert_loaded(it, REORDERED, found)


def test_what_nobody_holds_is_not_found_though_it_was_told():
    with engine() as it:
        it.transfer.learn_passages(SAVED)
        assert not it.transfer.lookup_passages(REORDERED).copies


def test_a_chunk_that_is_gone_costs_its_own_tokens():
    with EmbeddedServer(64 << 20) as server:
        with engine(remote_url=server.url) as saving:
            saving.save(SAVED)
        client = redis.Redis.from_url(server.url)
        with engine(remote_url=server.url) as it:
            it.transfer.learn_passages(SAVED)
            all_found = it.transfer.lookup_passages(REORDERED, recompute=NOTHING_ANEW)
            gone = all_found.copies[1].source.keys[5]
            removed = [key for key in client.scan_iter("*") if gone.encode() in key]
            assert client.delete(*removed) == len(removed) == 2
            found = it.transfer.lookup_passages(REORDERED, recompute=NOTHING_ANEW)
            assert all_found.copied_tokens - CHUNK_TOKENS <= found.copied_tokens
            assert found.copied_tokens < all_found.copied_tokens
            assert it.transfer.load_passages(found, range(BLOCKS)).wait() == found.copied_tokens
            assert_loaded(it, REORDERED, found)


def test_a_store_that_fails_between_lookup_and_load_is_told():
    with EmbeddedServer(64 << 20) as server:
        with engine(remote_url=server.url) as saving:
            saving.save(SAVED)
        with engine(remote_url=server.url) as it:
            it.transfer.learn_passages(SAVED)
            found = it.transfer.lookup_passages(REORDERED)
            redis.Redis.from_url(server.url).flushall()
            assert it.transfer.load_passages(found, range(BLOCKS)).wait() < found.copied_tokens


def test_passages_come_in_where_host_memory_has_room_for_some():
    slots = 4
    size = LAYERS * 2 * CHUNK_TOKENS * HEADS * DIM * 4 * slots / 2**30
    with EmbeddedServer(64 << 20) as server:
        with engine(remote_url=server.url) as saving:
            saving.save(SAVED)
        with engine(remote_url=server.url, max_local_cpu_size=size) as it:
            it.transfer.learn_passages(SAVED)
            found = it.transfer.lookup_passages(REORDERED, recompute=NOTHING_ANEW)
            assert 0 < found.copied_tokens <= slots * CHUNK_TOKENS
            assert it.transfer.load_passages(found, range(BLOCKS)).wait() == found.copied_tokens
            assert_loaded(it, REORDERED, found)


def test_an_exact_prefix_is_bit_for_bit_what_was_saved():
    prompt = SYSTEM + A + B + passage(50, 9)
    with engine() as it:
        it.save(SAVED)
        before = [layer.clone() for layer in it.layers]
        it.empty()
        found = it.transfer.lookup_passages(prompt)
        (copy,) = found.copies
        assert copy.is_exact
        assert (copy.start, copy.end) == (0, len(SYSTEM + A + B))
        it.transfer.load_passages(found, range(BLOCKS)).wait()
        for layer, saved in zip(it.layers, before, strict=True):
            assert torch.equal(it.tokens(layer)[: copy.end], it.tokens(saved)[: copy.end])


def test_bad_arguments_are_named():
    with engine() as it:
        it.save(SAVED)
        found = it.transfer.lookup_passages(REORDERED)
        with pytest.raises(ValueError, match="block_ids has 3 blocks"):
            it.transfer.load_passages(found, range(3))
        with pytest.raises(ValueError, match="skip_tokens=-1"):
            it.transfer.lookup_passages(REORDERED, skip_tokens=-1)
        with pytest.raises(ValueError, match="token_ids holds float"):
            it.transfer.lookup_passages([0.5])
        with pytest.raises(ValueError, match="token ids must lie in"):
            it.transfer.lookup_passages([-1] * CHUNK_TOKENS)
    with pytest.raises(RuntimeError, match="closed"):
        it.transfer.lookup_passages(REORDERED)
    with pytest.raises(RuntimeError, match="closed"):
        it.transfer.load_passages(found, range(BLOCKS))


def test_a_rotation_that_is_not_the_caches_is_refused():
    caches = PagedCaches.split([torch.zeros(4, 2, 16, 8)], CHUNK_TOKENS)
    config = TransferConfig.of(chunk_size=CHUNK_TOKENS, max_local_cpu_size=0.001)
    with pytest.raises(ValueError, match="a head has 4"):
        PassageTransfer.open(config, caches, model_name="m", facts={}, rotation=ROTATION)
