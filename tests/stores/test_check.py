"""What of a configuration's stores is refused before any of them is opened."""

from __future__ import annotations

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError
from kvtransfer.stores.check import check_stores


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"remote_url": "disk://host/path"}, "disk:///path"),
        ({"remote_url": "disk:///path?max_gib=much"}, "max_gib=100"),
        ({"remote_url": "disk:///path?size=3"}, "max_gib=100"),
        ({"remote_url": "embedded://host"}, "embedded://"),
        ({"remote_url": "embedded://?max_gib=0"}, "max_gib=5"),
        ({"remote_url": "embedded://?max_gig=1"}, "max_gib=5"),
        ({"remote_url": "redis://127.0.0.1:none/0"}, "malformed"),
        ({"remote_url": "redis-sentinel://127.0.0.1:1/"}, "mymaster"),
        ({"local_storage": "/nowhere"}, "max_local_storage_size"),
        ({"integrity_key_file": "/no/key"}, "/no/key"),
        ({"remote_read_url": "redis://127.0.0.1:1/0"}, "set remote_url"),
        ({"remote_url": "redis://h:1/0", "remote_read_url": "disk:///path"}, "only a Redis server"),
        ({"remote_url": "disk:///path", "remote_read_url": "redis://h:1/0"}, "only a Redis server"),
        ({"remote_url": "redis://h:1/0", "remote_read_url": "redis://h:none/0"}, "malformed"),
        (
            {
                "remote_url": "redis://h:1/0",
                "remote_read_url": "redis://g:1/0",
                "refresh_ttl": True,
            },
            "can't renew",
        ),
    ],
)
def test_what_can_not_be_opened_is_refused(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_stores(TransferConfig.of(**settings))


@pytest.mark.parametrize(
    "url",
    [
        "disk:///nowhere?max_gib=1",
        "embedded://?max_gib=1",
        "memory://",
        "redis-cluster://127.0.0.1:1",
        "redis-sentinel://127.0.0.1:1/service",
        "redis://127.0.0.1:1/0",
        "unix:///nowhere",
    ],
)
def test_what_only_does_not_answer_is_not(url):
    check_stores(TransferConfig.of(remote_url=url))


def test_an_embedded_server_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="embedded"):
        check_stores(TransferConfig.of(remote_url="embedded://"))
