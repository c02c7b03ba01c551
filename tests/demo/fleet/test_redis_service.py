from __future__ import annotations

import stat
from contextlib import closing

import pytest
import redis

from demo.fleet import redis_service
from demo.fleet.child import ChildError
from demo.fleet.redis_service import RedisService
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, get


def test_a_replica_takes_over_with_what_it_has(tmp_path):
    with RedisService(tmp_path, max_mib=64) as service:
        settings = StoreSettings(timeout_s=20)
        with closing(open_store(service.url, CHUNK, settings)) as store:
            assert store.put(KEY, memoryview(PAYLOAD))
            await_copies(service)
            service.kill_master()
            service.wait_for_new_master()
            assert get(store, KEY) == PAYLOAD
            assert store.put(OTHER_KEY, memoryview(PAYLOAD))


def await_copies(service):
    """Wait until the replica has what was put so far."""
    with redis.Redis(port=service._master.port, password=service._password) as client:
        client.set("last", 1)
        assert client.wait(1, 20_000) == 1


def test_no_other_user_reads_what_sentinels_write(tmp_path):
    with RedisService(tmp_path, max_mib=64):
        (folder,) = tmp_path.iterdir()
        assert len(list(folder.glob("sentinel-*.conf"))) == 3
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_master_that_stays_is_not_waited_for_without_end(tmp_path, monkeypatch):
    with RedisService(tmp_path, max_mib=64) as service:
        monkeypatch.setattr(redis_service, "_READY_S", 0.2)
        with pytest.raises(ChildError, match="have not agreed"):
            service.wait_for_new_master()
