"""Entries of models with several cache groups: each piece has the format that its key names."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from kvtransfer.chunks.keys import EntryKeys, piece_key
from kvtransfer.chunks.layout import ChunkFormat, GroupFormats
from kvtransfer.metrics import Metrics
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.memory import MemoryStore
from kvtransfer.stores.tiered import Tier, TieredStore

ATTENTION = ChunkFormat.split("float16", 2, 8, 1, 4)
STATES = ChunkFormat.content("int8", 2, 1, 1, 300)
FORMATS = GroupFormats((STATES, ATTENTION), main=1, chunk_tokens=8)
NAMES = EntryKeys("model", 1)
STATE, PIECE = (NAMES.shard(0, piece_key("a" * 32, group)) for group in range(2))
BYTES = {STATE: bytes(range(200)) * 3, PIECE: bytes(range(256))}
LIMIT_S = 30.0


def opened():
    return FormattedStore(MemoryStore(StoreSettings()), FORMATS)


def get(store, key):
    payload = bytearray(FORMATS.of(key).nbytes)
    return bytes(payload) if store.get_into(key, memoryview(payload)) else None


def put_all(store):
    assert all(store.put(key, memoryview(payload)) for key, payload in BYTES.items())


def test_pieces_of_both_groups_come_back():
    with closing(opened()) as store:
        put_all(store)
        assert store.contains([STATE, PIECE, STATE[:-1]]) == [True, True, False]
        assert {key: get(store, key) for key in BYTES} == BYTES


@pytest.mark.parametrize(("key", "of_other"), [(STATE, PIECE), (PIECE, STATE)])
def test_a_piece_of_another_group_is_a_miss_and_removed(key, of_other):
    with closing(opened()) as store:
        other = FormattedStore(store.store, FORMATS.of(of_other))  # wrote it under a wrong key
        assert other.put(key, memoryview(BYTES[of_other]))
        assert store.contains([key]) == [True]
        assert get(store, key) is None
        assert store.contains([key]) == [False]


def test_a_payload_of_another_groups_length_is_refused():
    with closing(opened()) as store, pytest.raises(ValueError, match="600"):
        store.put(STATE, memoryview(BYTES[PIECE]))


def test_the_tokens_of_a_chunk_are_counted_once():
    metrics = Metrics()
    with closing(TieredStore([Tier("remote", opened())], FORMATS, metrics)) as store:
        put_all(store)
        assert {key: get(store, key) for key in BYTES} == BYTES
        assert metrics.take() == {"remote_fetched_tokens": 8}


def test_a_promoted_piece_is_as_long_as_it_was():
    metrics, disk, remote = Metrics(), opened(), opened()
    with closing(
        TieredStore([Tier("disk", disk), Tier("remote", remote)], FORMATS, metrics)
    ) as store:
        put_all(remote)
        deadline_s = time.monotonic() + LIMIT_S
        while disk.contains([*BYTES]) != [True, True]:  # the first reads find no buffers
            assert time.monotonic() < deadline_s, "never promoted"
            assert {key: get(store, key) for key in BYTES} == BYTES
        assert {key: get(disk, key) for key in BYTES} == BYTES
