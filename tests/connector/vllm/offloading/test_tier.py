"""The tier under vLLM's own tiering, with real stores; only an engine is missing."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import repeat

import pytest
from vllm.v1.kv_offload.base import LookupResult

from kvtransfer.connector.vllm.offloading import opened_stores
from kvtransfer.errors import ConfigError
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.open import open_tiers
from kvtransfer.testing import FlakyStore
from tests.connector.entries import Entries, stopped
from tests.connector.vllm.offloading.engine_of_rows import EngineOfRows, key

pytestmark = pytest.mark.vllm

KEYS = [key(number) for number in range(6)]


@pytest.fixture
def engines():
    """Makes engines and ends those that are left."""
    made = []

    def make(**arguments):
        made.append(EngineOfRows(**arguments))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def url(tmp_path):
    return f"disk://{tmp_path}/store"


@pytest.fixture
def server():
    with EmbeddedServer(64 << 20) as running:
        yield running


@pytest.mark.parametrize("serde", ["naive", "lossless"])
def test_another_process_finds_what_was_stored(engines, server, serde):
    engines(remote_url=server.url, remote_serde=serde).store(*KEYS)
    other = engines(remote_url=server.url, remote_serde=serde)
    assert other.restore(*KEYS, key(99)) == [True] * 6 + [False]


def test_a_disk_before_a_shared_store(engines, server, tmp_path):
    both = {"local_storage": str(tmp_path / "disk"), "max_local_storage_size": 0.1}
    engines(remote_url=server.url, **both).store(*KEYS)
    assert engines(remote_url=None, **both).restore(*KEYS) == [True] * 6
    assert engines(remote_url=server.url).restore(*KEYS) == [True] * 6


def test_entries_have_the_time_to_live_that_is_set(engines, server):
    engines(remote_url=server.url, ttl_s=600).store(*KEYS)
    with closing(Entries(server.url)) as entries:
        names = entries.keys()
        assert len(names) == 6
        assert all(0 < entries._client.ttl(name) <= 600 for name in names)


@pytest.mark.parametrize(
    "harm",
    ["flip_a_bit_of_each_payload", "remove_records", "swap_payloads"],
)
def test_what_can_not_be_verified_is_a_miss_for_good(engines, server, harm):
    engines(remote_url=server.url).store(*KEYS)
    with closing(Entries(server.url)) as entries:
        getattr(entries, harm)()
    reader = engines(remote_url=server.url)
    assert reader.restore(*KEYS) == [False] * 6
    reader.store(*KEYS)  # it is computed and stored again
    assert engines(remote_url=server.url).restore(*KEYS) == [True] * 6


def test_of_a_job_the_good_rows_are_used(engines, server):
    engines(remote_url=server.url).store(*KEYS)
    with closing(Entries(server.url)) as entries:
        entries.remove_every_second_payload()
    assert sum(engines(remote_url=server.url).restore(*KEYS)) == 3


def test_a_lookup_returns_at_once_and_ends_as_a_miss(engines, server):
    engines(remote_url=server.url).store(*KEYS)
    reader = engines(remote_url=server.url, lookup_timeout_ms=50)
    with stopped(server):
        request = reader.request()
        assert reader.manager.lookup(KEYS[0], request) is LookupResult.RETRY
        assert reader.look_up(request, *KEYS) == [False] * 6


def test_a_dead_store_costs_hits_only(engines):
    with EmbeddedServer(64 << 20) as server:
        engine = engines(remote_url=server.url, remote_timeout_ms=200)
        engine.store(*KEYS[:3])
    engine.store(*KEYS[3:])
    assert engine.restore(*KEYS) == [True] * 6  # from host memory
    assert engine.restore(key(99)) == [False]


def test_a_load_that_fails_leaves_no_row_behind(engines, url, monkeypatch):
    engines(remote_url=url).store(*KEYS)

    def flaky(config, formats, shelf):
        tiers = open_tiers(config, formats, shelf=shelf)
        for tier in tiers._tiers:
            guarded = tier.store
            assert isinstance(guarded, GuardedStore)
            guarded._store = _FailsToGet(guarded._store, repeat(True))
        return tiers

    monkeypatch.setattr(opened_stores, "open_tiers", flaky)
    reader = engines(remote_url=url)
    assert reader.restore(*KEYS) == [False] * 6
    reader.store(*KEYS)
    assert reader.restore(*KEYS) == [True] * 6


class _FailsToGet(FlakyStore):
    def contains(self, keys):
        return self._store.contains(keys)

    def put(self, key, payload, tenant="", ttl_s=None):
        return self._store.put(key, payload, tenant)


def test_what_a_full_queue_has_no_room_for_is_dropped_from_the_end(engines, server):
    engine = engines(chunks=8, remote_url=server.url)
    with stopped(server):
        request = engine.request()
        output = engine.manager.prepare_store(KEYS, request)
        engine.manager.complete_store(output.keys_to_store, request)
    engine.settle()
    reader = engines(remote_url=server.url)
    found = reader.look_up(reader.request(), *KEYS)
    assert found == [True] * 4 + [False] * 2  # half of eight may wait


def test_a_reset_waits_for_what_moves_and_ends_what_waits(engines, server, monkeypatch):
    engine = engines(remote_url=server.url, remote_timeout_ms=60_000)
    engine.store(*KEYS)
    reader = engines(remote_url=server.url)
    begun, get_into = threading.Event(), reader.tier._store.get_into

    def begin_to_get(*arguments):
        begun.set()
        return get_into(*arguments)

    monkeypatch.setattr(reader.tier._store, "get_into", begin_to_get)
    request = reader.request()
    while reader.manager.lookup(KEYS[0], request) is LookupResult.RETRY:
        reader.step()
    with stopped(server):
        reader.step()
        assert begun.wait(60)
        resetting = threading.Thread(target=reader.manager.reset_cache)
        resetting.start()
        resetting.join(0.1)
        assert resetting.is_alive()
    resetting.join(60)
    assert not resetting.is_alive()
    assert reader.restore(*KEYS) == [False] * 6, "the weights may be others"
    reader.store(*KEYS)
    assert engines(remote_url=server.url).restore(*KEYS) == [True] * 6


def test_threads_end_and_vllm_has_its_memory_back(url):
    before = set(threading.enumerate())
    engine = EngineOfRows(remote_url=url)
    engine.store(*KEYS)
    engine.restore(*KEYS)
    assert set(threading.enumerate()) > before
    engine.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(ValueError, match="released"):
        engine.tier._rows[0]


def test_an_engine_of_another_model_finds_nothing(engines, url):
    engines(remote_url=url).store(*KEYS)
    assert engines(remote_url=url, covered="another").restore(*KEYS) == [False] * 6
    assert engines(remote_url=url, namespace="b").restore(*KEYS) == [False] * 6


def test_a_configuration_that_our_plug_in_has_not_seen_is_refused():
    with pytest.raises(ConfigError, match="VLLM_PLUGINS"):
        EngineOfRows(remote_url="memory://", covered="")


def test_secrets_are_not_said():
    with pytest.raises(ConfigError) as refused:
        EngineOfRows(remote_url="redis://:t0ps3cret@host:port/0")
    assert "t0ps3cret" not in str(refused.value)
