from __future__ import annotations

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.connector.vllm.offloading.settings import USED, read_settings
from kvtransfer.errors import ConfigError


def test_a_store_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("KVTRANSFER_REMOTE_URL", "redis://host")
    monkeypatch.setenv("KVTRANSFER_CHUNK_SIZE", "128")  # for another connector of the process
    assert read_settings({"ttl_s": 60}).remote_url == "redis://host"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "set remote_url in it, or KVTRANSFER_REMOTE_URL"),
        ({"remote_url": "memory://", "chunk_size": 1}, "chunk_size=1 means nothing"),
        ({"remote_url": "memory://", "remote_serde": "auto"}, "write naive or lossless"),
        ({"remote_url": "memory://", "remote_serde": "int4"}, "write naive or lossless"),
        ({"remote_url": "memory://", "ttl": 1}, "ttl"),
        ({"remote_url": "rds://"}, "remote_url is not known"),
        ({"local_storage": "/x"}, "may hold nothing: set max_local_storage_size"),
    ],
)
def test_what_can_not_be_is_refused(given, says):
    with pytest.raises(ConfigError, match=says):
        read_settings(given)


def test_each_setting_is_one_of_the_connectors():
    assert set(TransferConfig.model_fields) > USED
