"""Engines with different ``remote_serde`` over one store have each other's chunks, and keep them."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace

import pytest
import redis

from kvtransfer.chunks.layout import GroupFormats
from kvtransfer.chunks.quantisation import levels
from kvtransfer.chunks.quantised import quantised
from kvtransfer.metrics import Metrics
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.codecs import open_forms
from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.memory import MemoryStore
from kvtransfer.stores.record import ChunkFacts
from kvtransfer.stores.redis.store import RedisStore
from kvtransfer.testing import KEY, OTHER_KEY
from tests.stores.lossless.floats import BF16, FP8, MIXED, STATES, chunk_of

CHUNK = chunk_of(BF16)
SERDES = ("naive", "lossless", "auto")


@pytest.fixture(params=["memory", "disk", "redis"])
def entries(request, tmp_path):
    """Opens one more store over the same entries."""
    settings = StoreSettings(ttl_s=1000)
    if request.param == "memory":
        return lambda: MemoryStore(settings)
    if request.param == "disk":
        return lambda: DiskStore(str(tmp_path), settings)
    server = request.getfixturevalue("server")
    return lambda: RedisStore(server.url, settings)


@pytest.fixture
def engine(entries):
    """Opens one more engine's store, by its ``remote_serde``."""
    with ExitStack() as opened:

        def engine(serde, form=BF16, metrics=None):
            store = FormattedStore(entries(), form, open_forms(serde, form, metrics))
            return opened.enter_context(closing(store))

        yield engine


def put(store, key=KEY, chunk=CHUNK):
    return store.put(key, memoryview(chunk))


def get(store, key=KEY, form=BF16):
    slot = memoryview(bytearray(form.nbytes))
    return bytes(slot) if store.get_into(key, slot) else None


@pytest.mark.parametrize("writer", SERDES)
@pytest.mark.parametrize("reader", SERDES)
def test_each_hits_what_the_other_has_put_and_leaves_it_there(engine, writer, reader):
    one, other = engine(writer), engine(reader)
    assert put(one)
    format_ = one.store.stat(KEY).identity.format
    for store in (other, one, other):
        assert store.contains([KEY, OTHER_KEY]) == [True, False]
        assert get(store) == CHUNK
        assert put(store)  # as it does when a request has the chunk again
    assert other.store.stat(KEY).identity.format == format_


def test_a_chunk_that_is_there_is_not_compressed_again(engine):
    metrics = Metrics()
    one, other = engine("naive"), engine("lossless", metrics=metrics)
    assert put(one)
    for _ in range(3):
        assert put(other)
    assert metrics.take() == {}


def test_a_mixed_piece_comes_back(engine):
    chunk, store = chunk_of(MIXED), engine("lossless", MIXED)
    assert put(store, chunk=chunk)
    identity = store.store.stat(KEY).identity
    assert identity.format == "lossless"
    assert identity.nbytes < MIXED.nbytes
    assert get(store, form=MIXED) == chunk


def test_pieces_of_several_groups_have_the_form_that_suits_each(engine):
    forms = GroupFormats((BF16, STATES), main=0, chunk_tokens=64)
    one, other = engine("lossless", forms), engine("naive", forms)
    state = f"{KEY}-1"
    assert put(one)
    assert put(one, state, chunk_of(STATES))
    found = [one.store.stat(key).identity.format for key in (KEY, state)]
    assert found == ["lossless", "naive"]
    assert other.contains([KEY, state]) == [True, True]
    assert get(other) == CHUNK
    assert get(other, state, STATES) == chunk_of(STATES)


@pytest.mark.parametrize("format_", ["naive", "lossless", "int4"])
def test_quantised_numbers_are_stored_as_they_are_under_a_name_of_their_own(engine, format_):
    form = quantised(BF16, levels("int8", 2)[0][0])
    chunk, store = bytes(range(256)) * (form.nbytes // 256), engine("int8", form)
    assert put(store, chunk=chunk)
    assert store.store.stat(KEY).identity.format == "int8"
    assert put(store, chunk=chunk)
    assert get(store, form=form) == chunk
    other = replace(ChunkFacts.of(form, "naive"), format=format_)
    assert store.store.put(KEY, memoryview(chunk), other)
    assert get(store, form=form) is None
    assert store.store.stat(KEY) is None


@pytest.mark.parametrize("stored", [b"", b"x", b"x" * 100, bytes(BF16.nbytes - 1)])
def test_what_only_says_that_it_is_lossless_is_a_miss_and_is_removed(engine, stored):
    one, other = engine("naive"), engine("lossless")
    assert one.store.put(KEY, memoryview(stored), ChunkFacts.of(BF16, "lossless"))
    assert get(other) is None
    assert one.store.stat(KEY) is None
    assert put(other)
    assert get(one) == CHUNK


@pytest.mark.parametrize("nbytes", [BF16.nbytes - 4096, BF16.nbytes + 4096])
def test_a_naive_entry_of_another_length_is_put_again(engine, nbytes):
    store = engine("lossless")
    assert store.store.put(KEY, memoryview(bytes(nbytes)), ChunkFacts.of(BF16, "naive"))
    assert put(store)
    assert get(store) == CHUNK


def test_an_unknown_format_is_a_miss_and_is_put_again(engine):
    store = engine("lossless")
    for call in (get, put):
        assert store.store.put(KEY, memoryview(CHUNK), ChunkFacts.of(BF16, "cachegen"))
        call(store)
        record = store.store.stat(KEY)
        assert record is None or record.identity.format == "lossless"


def test_numbers_of_one_byte_are_never_read_as_lossless(engine):
    store = engine("naive", FP8)
    assert store.store.put(KEY, memoryview(bytes(100)), ChunkFacts.of(FP8, "lossless"))
    assert get(store, form=FP8) is None


def test_a_compressed_entry_is_as_short_in_redis(server):
    with (
        closing(
            FormattedStore(
                RedisStore(server.url, StoreSettings()), BF16, open_forms("lossless", BF16)
            )
        ) as store,
        redis.Redis.from_url(server.url) as client,
    ):
        assert put(store)
        assert client.strlen(f"{KEY}_bytes") < BF16.nbytes / 1.35
