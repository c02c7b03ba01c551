from __future__ import annotations

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.redis.url import read_url


def read(url):
    return read_url(url, StoreSettings())


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("redis://h", (("h", 6379),)),
        ("redis://h:1/3", (("h", 1),)),
        ("redis://", (("localhost", 6379),)),
        ("unix:///run/redis.sock?db=3", ()),
        ("redis-cluster://h1:1,h2", (("h1", 1), ("h2", 6379))),
        ("redis-cluster://[::1]:7,[::2]", (("::1", 7), ("::2", 6379))),
        ("redis-sentinel://u:p@h1,h2:2/m?db=1", (("h1", 26379), ("h2", 2))),
    ],
)
def test_hosts(url, hosts):
    assert read(url).hosts == hosts


def test_what_is_said_to_sentinel_is_not_what_is_said_to_the_server():
    url = read("redis-sentinel://u:a%40b@h/m?db=2&sentinel_username=s&sentinel_password=c%2Fd")
    assert url.service == "m"
    said = {name: url.options[name] for name in ("username", "password", "db")}
    assert said == {"username": "u", "password": "a@b", "db": 2}
    asked = url.asking_options
    assert (asked["username"], asked["password"]) == ("s", "c/d")
    assert "db" not in asked
    assert {"a@b", "c/d"} <= set(url.secrets())
    assert not any(secret in repr(url) for secret in ("a@b", "a%40b", "c/d", "c%2Fd"))


def test_an_option_of_the_url_wins():
    assert read("redis://h?max_connections=9").connections == 9
    assert read("redis://h").connections == StoreSettings().connections


def test_who_asks_waits_for_half_the_time():
    settings = StoreSettings(timeout_s=3.0)
    asking = read_url("redis-cluster://h1,h2", settings).asking_options
    assert (asking["socket_timeout"], asking["socket_connect_timeout"]) == (1.5, 1.5)


@pytest.mark.parametrize("url", ["redis://:a#b@h", "rediss-sentinel://h", "redis://h?sentinel_x=1"])
def test_what_would_be_read_otherwise_is_refused(url):
    with pytest.raises(ConfigError, match="malformed"):
        read(url)
