from __future__ import annotations

import subprocess
import sys
from contextlib import closing

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, get


def test_a_memory_store_is_private():
    first, second = (open_store("memory://", CHUNK, StoreSettings()) for _ in range(2))
    with closing(first), closing(second):
        first.put(KEY, memoryview(PAYLOAD))
        assert get(first, KEY) == PAYLOAD
        assert second.contains([KEY]) == [False]


@pytest.mark.parametrize("url", ["", "localhost:6379", "ftp://bucket", "memory://name", "redis:h"])
def test_an_unknown_store_is_refused_with_the_known_ones(url):
    with pytest.raises(ConfigError, match="redis://host:6379"):
        open_store(url, CHUNK, StoreSettings())


@pytest.mark.parametrize("url", ["ftp://me:t0ps3cret@h", "me:t0ps3cret@h:6379"])
def test_a_refusal_shows_no_password(url):
    with pytest.raises(ConfigError, match=r"me:\*\*\*@h") as e:
        open_store(url, CHUNK, StoreSettings())
    assert "t0ps3cret" not in str(e.value)


@pytest.mark.parametrize("wrong", [{"ttl_s": 0}, {"timeout_s": 0.0}, {"connections": 0}])
def test_settings_name_what_is_wrong(wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=name):
        StoreSettings(**wrong)


def test_clients_are_imported_on_demand():
    code = "import sys, kvtransfer.stores; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
