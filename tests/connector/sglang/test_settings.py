"""The JSON of SGLang's option is checked whole, each mistake in one sentence without secrets."""

from __future__ import annotations

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.connector.sglang.settings import USED, read_settings
from kvtransfer.errors import ConfigError
from tests.connector.sglang.processes import FACTORY

GOOD = {**FACTORY, "remote_url": "redis://h:6379/0", "weights_name": "w"}


def test_good_settings_are_read():
    config = read_settings({**GOOD, "ttl_s": 60, "file_storage_path": "/ignored/by/us"})
    assert (config.remote_url, config.weights_name, config.ttl_s) == ("redis://h:6379/0", "w", 60)


def test_each_setting_that_is_used_exists():
    assert set(TransferConfig.model_fields) > USED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"remote_ulr": "x"}, "there is no setting 'remote_ulr'; did you mean remote_url"),
        ({"chunk_size": 64}, "chunk_size has no effect in SGLang; remove it"),
        ({"local_cpu": False}, "local_cpu has no effect in SGLang; remove it"),
        ({"ttl_s": 0}, "ttl_s must be at least 1"),
        ({"ttl_s": "60"}, "ttl_s must be a whole number"),
        ({"interface_v1": 0}, '"interface_v1": 1'),
        ({"weights_name": None}, "weights_name is missing"),
        ({"remote_url": None}, "set remote_url or local_storage"),
        ({"remote_serde": "int8"}, "write naive, lossless or auto"),
        ({"remote_url": "http://h"}, "redis://host:6379/0"),
        ({"local_storage": "/d"}, "max_local_storage_size"),
    ],
)
def test_a_mistake_is_one_sentence(change, said):
    with pytest.raises(ConfigError) as caught:
        read_settings({**GOOD, **change})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_is_in_no_message():
    with pytest.raises(ConfigError) as caught:
        read_settings({**GOOD, "remote_url": "redis://:s3cret@h:port/0"})
    assert "s3cret" not in str(caught.value)


def test_without_interface_v1_is_refused():
    extra = {name: value for name, value in GOOD.items() if name != "interface_v1"}
    with pytest.raises(ConfigError, match="interface_v1"):
        read_settings(extra)
