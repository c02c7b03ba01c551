from __future__ import annotations

import socket

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.mooncake import store as mooncake_store
from kvtransfer.stores.mooncake.store import MooncakeStore
from kvtransfer.stores.mooncake.url import read_mooncake_url


def test_a_master_alone_is_enough():
    read = read_mooncake_url("mooncake://127.0.0.1")
    assert read.settings() == {
        "master": "127.0.0.1:50051",
        "metadata_server": "P2PHANDSHAKE",
        "segment_bytes": 0,
        "hostname": "127.0.0.1",
        "protocol": "tcp",
        "device": "",
    }
    assert read.metrics_port is None


def test_others_reach_this_machine_by_its_name():
    assert read_mooncake_url("mooncake://master:1").hostname == socket.gethostname()
    assert read_mooncake_url("mooncake://master:1?hostname=10.0.0.2").hostname == "10.0.0.2"


def test_options_are_read():
    read = read_mooncake_url(
        "mooncake://m:7?metadata=http://m:8080/metadata&segment_gib=0.5&protocol=rdma"
        "&device=mlx5_0,mlx5_1&metrics_port=9003"
    )
    assert (read.host, read.port, read.metrics_port) == ("m", 7, 9003)
    assert read.metadata == "http://m:8080/metadata"
    assert read.segment_bytes == 1 << 29
    assert (read.protocol, read.device) == ("rdma", "mlx5_0,mlx5_1")


@pytest.mark.parametrize(
    "url",
    ["mooncake://", "mooncake://:1", "mooncake://h:port", "mooncake://h:1/path", "mooncake://[h:1",
     "mooncake://me:pw@h:1", "mooncake://h:1#x", "mooncake://h?segment_gib=many",
     "mooncake://h?segment_gib=-1", "mooncake://h?segment_gib=inf", "mooncake://h?segment_gib=nan",
     "mooncake://h?metrics_port=0", "mooncake://h?metrics_port=70000"],
)  # fmt: skip
def test_a_malformed_url_is_refused(url):
    with pytest.raises(ConfigError, match="write mooncake://host:50051") as refused:
        MooncakeStore.check(url, StoreSettings())
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize(
    ("query", "named"),
    [("size=1", "has size"), ("device=a&device=b", "an option twice"), ("protocol=udp", "tcp")],
)
def test_an_option_that_is_not_known_is_named(query, named):
    with pytest.raises(ConfigError, match=named):
        read_mooncake_url(f"mooncake://h?{query}")


def test_without_the_client_it_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(mooncake_store, "find_spec", lambda _: None)
    for refused in (MooncakeStore.check, MooncakeStore.open):
        with pytest.raises(ConfigError, match=r"pip install '\.\[mooncake\]'"):
            refused("mooncake://h", StoreSettings())
