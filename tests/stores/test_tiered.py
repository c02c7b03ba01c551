"""Several stores as one: who serves, who gets a copy, and what one that fails costs the others."""

from __future__ import annotations

import itertools
import shutil
import time
from contextlib import closing, contextmanager
from threading import Event
from threading import enumerate as enumerate_threads

import pytest
import redis

from kvtransfer.chunks.keys import parse_base_key
from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError
from kvtransfer.metrics import Metrics
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.disk.file.chunk_file import file_bytes
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.memory import MemoryStore
from kvtransfer.stores.open import open_tiers
from kvtransfer.stores.tiered import Tier, TieredStore
from kvtransfer.testing import (
    ABSENT_KEY,
    CHUNK,
    KEY,
    OTHER_KEY,
    PAYLOAD,
    FlakyStore,
    StoreContract,
    get,
)
from tests.stores.disk.disk_backing import DiskBacking
from tests.stores.disk.disk_writer import key_of

LIMIT_S = 30.0
FILE_BYTES = file_bytes(CHUNK.nbytes)


class Watched(FormattedStore):
    """Notes what it is asked; its puts wait for ``open``."""

    def __init__(self):
        super().__init__(MemoryStore(StoreSettings()), CHUNK)
        self.asked = []
        self.tenants = []
        self.open = Event()
        self.open.set()
        self.closes = 0

    def contains(self, keys):
        self.asked.append(list(keys))
        return super().contains(keys)

    def put(self, key, payload, tenant="", ttl_s=None):
        assert self.open.wait(LIMIT_S)
        self.tenants.append(tenant)
        return super().put(key, payload, tenant)

    def close(self):
        self.closes += 1


@pytest.fixture
def disk():
    return Watched()


@pytest.fixture
def remote():
    return Watched()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def tiers(disk, remote, metrics):
    with closing(tiered(metrics, disk=disk, remote=remote)) as opened:
        yield opened


class TestOneTier(StoreContract):
    @pytest.fixture
    def backing(self, tmp_path):
        class Backing(DiskBacking):
            def open(self, chunk, settings):
                return TieredStore([Tier("disk", super().open(chunk, settings))], chunk, Metrics())

        return Backing(tmp_path)


def tiered(metrics, **stores):
    return TieredStore([Tier(name, store) for name, store in stores.items()], CHUNK, metrics)


def put(store, key):
    return store.put(key, memoryview(PAYLOAD))


def await_promotion(store, key, faster):
    """Read ``key`` until ``faster`` has it too, as the first reads find no buffers to copy to."""
    deadline_s = time.monotonic() + LIMIT_S
    while get(faster, key) is None:
        assert time.monotonic() < deadline_s, "never promoted"
        assert get(store, key) == PAYLOAD


def test_a_put_reaches_every_tier(tiers, disk, remote):
    assert put(tiers, KEY)
    assert get(disk, KEY) == get(remote, KEY) == PAYLOAD


def test_the_fastest_that_has_it_serves_and_is_counted(tiers, disk, remote, metrics):
    put(remote, KEY)
    put(disk, OTHER_KEY)
    put(remote, OTHER_KEY)
    assert get(tiers, OTHER_KEY) == PAYLOAD
    assert metrics.take() == {"disk_fetched_tokens": CHUNK.tokens}
    assert get(tiers, KEY) == PAYLOAD
    assert metrics.take()["remote_fetched_tokens"] == CHUNK.tokens
    assert get(tiers, ABSENT_KEY) is None
    assert "disk_fetched_tokens" not in metrics.take()


def test_any_tier_counts_and_the_slower_are_asked_for_the_rest_only(tiers, disk, remote):
    put(disk, KEY)
    put(remote, OTHER_KEY)
    asked = [OTHER_KEY, ABSENT_KEY, KEY, OTHER_KEY]
    assert tiers.contains(asked) == [True, False, True, True]
    assert tiers.locate(asked) == ["remote", None, "disk", "remote"]
    assert remote.asked == [[OTHER_KEY, ABSENT_KEY]] * 2
    assert tiers.contains([KEY]) == [True]
    assert len(remote.asked) == 2


def test_what_a_slow_tier_served_the_fast_one_gets(tiers, disk, remote, metrics):
    put(remote, KEY)
    await_promotion(tiers, KEY, disk)
    metrics.take()
    assert get(tiers, KEY) == PAYLOAD
    counted = metrics.take()
    assert (counted["disk_fetched_tokens"], "remote_fetched_tokens" in counted) == (7, False)


def test_a_promotion_is_of_what_was_read_whatever_becomes_of_the_slot(tiers, disk, remote):
    put(remote, KEY)
    put(remote, OTHER_KEY)
    await_promotion(tiers, OTHER_KEY, disk)
    disk.open.clear()
    slot = bytearray(CHUNK.nbytes)
    assert tiers.get_into(KEY, memoryview(slot))
    slot[:] = bytes(len(slot))
    disk.open.set()
    await_promotion(tiers, KEY, disk)
    assert get(disk, KEY) == PAYLOAD


def test_each_tier_is_told_whose_chunk_it_gets(tiers, disk, remote):
    assert tiers.put(KEY, memoryview(PAYLOAD), "tenant")
    assert disk.tenants == remote.tenants == ["tenant"]
    put(remote, OTHER_KEY)
    target = memoryview(bytearray(CHUNK.nbytes))
    deadline_s = time.monotonic() + LIMIT_S
    while len(disk.tenants) == 1:
        assert time.monotonic() < deadline_s, "never promoted"
        assert tiers.get_into(OTHER_KEY, target, "another")
    first, *promoted = disk.tenants  # several, where it was asked for again before the first
    assert (first, set(promoted)) == ("tenant", {"another"})


def test_a_fast_tier_that_stalls_delays_no_load(tiers, disk, remote, metrics):
    keys = [key_of(i) for i in range(40)]
    assert all(put(remote, key) for key in keys)
    await_promotion(tiers, keys[0], disk)
    metrics.take()
    disk.open.clear()
    assert {get(tiers, key) for key in keys} == {PAYLOAD}  # ends, though no put to the disk does
    counted = metrics.take()
    disk.open.set()
    assert counted["promotion_dropped_chunks"] >= 30
    assert counted["remote_fetched_tokens"] >= 30 * CHUNK.tokens


def test_closing_drops_what_waits_and_closes_each_tier(tiers, disk, remote):
    put(remote, KEY)
    await_promotion(tiers, KEY, disk)
    for i in range(4):
        put(remote, key_of(i))
        get(tiers, key_of(i))
    tiers.close()
    assert disk.closes == remote.closes == 1


@pytest.mark.parametrize("broken", ["disk", "remote"])
def test_a_tier_that_is_down_costs_only_what_it_held(broken, metrics):
    well = Watched()
    flaky = FlakyStore(FormattedStore(MemoryStore(StoreSettings()), CHUNK), itertools.repeat(True))
    down = GuardedStore(flaky, "flaky://")
    stores = {name: down if name == broken else well for name in ("disk", "remote")}
    with closing(tiered(metrics, **stores)) as store:
        assert put(store, KEY)
        for _ in range(10):
            assert store.contains([KEY, ABSENT_KEY]) == [True, False]
            assert get(store, KEY) == PAYLOAD
            assert get(store, ABSENT_KEY) is None
    assert flaky.calls < 10  # its own circuit breaker is open, the other's is not
    assert get(well, KEY) == PAYLOAD


def test_no_tier_takes_it():
    stores = {
        name: GuardedStore(FlakyStore(Watched(), itertools.repeat(True)), f"{name}://")
        for name in ("disk", "remote")
    }
    with closing(tiered(Metrics(), **stores)) as store:
        assert not put(store, KEY)


@contextmanager
def configured(**settings):
    """The tiers as an executor has them, and as a scheduler's lookup has them."""
    config = TransferConfig.of(chunk_size=CHUNK.tokens, **settings)
    metrics = Metrics()
    with (
        closing(open_tiers(config, CHUNK)) as lookup,
        closing(open_tiers(config, CHUNK, metrics)) as executor,
    ):
        yield executor, lookup, metrics


def test_a_tier_that_does_not_take_a_chunk_is_told_by_name(disk):
    down = GuardedStore(FlakyStore(Watched(), itertools.repeat(True)), "memory://")
    lacks = []
    tiers = [Tier("disk", disk), Tier("remote", down)]
    with closing(TieredStore(tiers, CHUNK, Metrics(), lambda *lack: lacks.append(lack))) as store:
        assert put(store, KEY)
    assert lacks == [("remote", parse_base_key(KEY).chunk_hash)]


def test_what_is_evicted_from_the_folder_is_told_with_its_chunk(tmp_path):
    room = {"local_storage": str(tmp_path), "max_local_storage_size": 3.5 * FILE_BYTES / 2**30}
    config = TransferConfig.of(chunk_size=CHUNK.tokens, **room)
    lacks = []
    with closing(open_tiers(config, CHUNK, lack=lambda *lack: lacks.append(lack))) as store:
        for number in range(5):
            assert put(store, key_of(number))
    assert lacks == [("disk", parse_base_key(key_of(number)).chunk_hash) for number in (0, 1)]


def test_nothing_configured_is_no_store():
    assert open_tiers(TransferConfig.of(), CHUNK) is None


def test_a_folder_without_a_size_is_refused(tmp_path):
    config = TransferConfig.of(local_storage=str(tmp_path))
    with pytest.raises(ConfigError, match="raise max_local_storage_size"):
        open_tiers(config, CHUNK)


def test_both_sides_see_the_disk(tmp_path):
    folder = {"local_storage": str(tmp_path), "max_local_storage_size": 0.001}
    with configured(**folder) as (executor, lookup, metrics):
        assert put(executor, KEY)
        assert lookup.contains([KEY, ABSENT_KEY]) == [True, False]
        assert get(executor, KEY) == PAYLOAD
        assert metrics.take() == {
            "put_uncompressed_chunks": 1,
            "disk_fetched_tokens": CHUNK.tokens,
            "disk_used_bytes": 12_288,
        }
    with configured(**folder) as (executor, lookup, _):
        assert lookup.contains([KEY]) == [True]
        assert get(executor, KEY) == PAYLOAD


def test_both_sides_share_one_embedded_server(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    url = "embedded://?max_gib=0.0625"
    folder = {"local_storage": str(tmp_path / "chunks"), "max_local_storage_size": 0.001}
    with configured(remote_url=url, **folder) as (executor, lookup, metrics):
        assert put(executor, KEY)
        (socket,) = tmp_path.glob("kvtransfer-*/embedded.sock")
        password = socket.with_suffix(".lock").read_text()
        with redis.Redis(unix_socket_path=str(socket), password=password) as client:
            assert len(client.keys()) == 2
        DiskBacking(tmp_path / "chunks").path(KEY).unlink()
        assert lookup.contains([KEY]) == [True]
        assert get(executor, KEY) == PAYLOAD
        assert metrics.take()["remote_fetched_tokens"] == CHUNK.tokens


def test_the_disk_serves_while_the_remote_is_not_there(server, tmp_path):
    server.close()
    folder = {"local_storage": str(tmp_path), "max_local_storage_size": 0.001}
    with configured(remote_url=server.url, **folder) as (executor, lookup, _):
        for i in range(20):
            assert put(executor, key_of(i))
            assert lookup.contains([key_of(i), ABSENT_KEY]) == [True, False]
            assert get(executor, key_of(i)) == PAYLOAD


def test_only_who_promotes_has_a_thread_for_it(tmp_path):
    folder = {"local_storage": str(tmp_path / "near"), "max_local_storage_size": 0.001}
    before = threads("kvtransfer-promote")
    with configured(remote_url=f"disk://{tmp_path}/far", **folder) as (executor, lookup, _):
        assert lookup.contains([KEY]) == [False]
        assert put(executor, KEY)
        assert threads("kvtransfer-promote") == before
        shutil.rmtree(tmp_path / "near")
        assert get(executor, KEY) == PAYLOAD
        assert threads("kvtransfer-promote") == before + 1


def test_the_bytes_of_the_folder_are_shown(tmp_path):
    folder = {"local_storage": str(tmp_path), "max_local_storage_size": 0.001}
    with configured(**folder) as (executor, _, metrics):
        assert put(executor, KEY)
        assert put(executor, OTHER_KEY)
        assert metrics.take()["disk_used_bytes"] == 2 * 12_288


def threads(name):
    return sum(thread.name.startswith(name) for thread in enumerate_threads())
