from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest
import redis

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.open import open_tiers
from kvtransfer.stores.redis import renewed_password
from kvtransfer.stores.redis.password_source import password_source
from kvtransfer.stores.redis.renewed_password import RenewedPassword
from kvtransfer.stores.redis.url import read_url
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, get
from tests.stores.redis import cluster as clusters
from tests.stores.redis.page import block
from tests.stores.redis.servers import BINARIES, Server, redis_binary, until

COMMANDS = [word for word in block("users.acl")[0].split() if word.startswith("+")]


def soon():
    return time.monotonic() + 20


class Cloud:
    """Hands out tokens; only the latest one lets a user in."""

    def __init__(self, server):
        self._server = server
        self.asked = 0
        self.token = ""

    def rotate(self):
        """Another token from now on, and those that are connected by the old one are cut off."""
        self.token = f"t0ken-{time.monotonic_ns()}"
        with self._server.client() as client:
            rules = ("resetpass", "on", f">{self.token}", "~*", *COMMANDS)
            client.execute_command("ACL SETUSER", "kv", *rules)
            client.client_kill_filter(user="kv", skipme=True)

    def __call__(self):
        self.asked += 1
        return self.token


@pytest.fixture(scope="module", params=BINARIES)
def server(request, tmp_path_factory):
    running = Server(BINARIES[request.param](), tmp_path_factory.mktemp("tokens"))
    yield running
    running.kill()


@pytest.fixture
def cloud(server):
    tokens = Cloud(server)
    tokens.rotate()
    return tokens


def opened(server, source, **more):
    settings = StoreSettings(password_command=source, timeout_s=20, **more)
    return open_store(f"redis://kv@127.0.0.1:{server.port}/0", CHUNK, settings)


def test_hits_go_on_while_the_token_rotates(server, cloud):
    with closing(opened(server, cloud)) as store:
        assert store.put(KEY, memoryview(PAYLOAD))
        for _ in range(3):
            until(lambda: time.monotonic() > cloud_may_be_asked_s(store))
            cloud.rotate()
            assert get(store, KEY) == PAYLOAD
    assert cloud.asked == 4


def cloud_may_be_asked_s(store):
    """When a refusal makes us ask again, at the earliest."""
    source = store.store._servers._url.options["credential_provider"]
    return source._last.since_s + renewed_password._NOT_AGAIN_WITHIN_S


def test_a_token_is_kept_while_it_serves(server, cloud):
    with closing(opened(server, cloud)) as store:
        for _ in range(3):
            store.contains([KEY])
            with server.client() as client:
                client.client_kill_filter(user="kv", skipme=True)
    assert cloud.asked == 1


def test_a_program_that_prints_the_token(server, cloud, tmp_path):
    file = tmp_path / "token"
    file.write_text(cloud.token)
    program = [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read())", str(file)]
    url = f"redis://kv@127.0.0.1:{server.port}/0"
    config = TransferConfig.of(
        remote_url=url, remote_password_command=program, remote_timeout_ms=20_000
    )
    with closing(open_tiers(config, CHUNK)) as store:
        assert store.put(KEY, memoryview(PAYLOAD))
        assert get(store, KEY) == PAYLOAD


def test_an_old_password_is_renewed_in_the_background_and_used_meanwhile():
    answers, gate = iter(["first", "second"]), Event()
    gate.set()

    def read():
        assert gate.wait(20)
        return next(answers)

    source = RenewedPassword(None, read, max_age_s=0)
    assert source.wait(soon()) == "first"
    gate.clear()
    until(lambda: time.monotonic() > source._answers._asked_s + 0.5)
    assert source.wait(soon()) == "first"
    gate.set()
    until(lambda: source.get_credentials() == ("second",))
    assert {"first", "second"} <= set(source.secrets())


def test_a_server_that_refuses_everything_asks_once():
    asked = []
    source = RenewedPassword("kv", lambda: asked.append(1) or "wrong", max_age_s=600)
    assert source.wait(soon()) == "wrong"
    assert [source.after("wrong", soon()) for _ in range(5)] == ["wrong"] * 5
    assert len(asked) == 1


def test_a_slow_source_costs_no_more_than_the_call_may_take(server):
    gate = Event()
    settings = StoreSettings(password_command=lambda: gate.wait(20) or "x", timeout_s=0.2)
    url = f"redis://kv@127.0.0.1:{server.port}/0"
    with closing(open_store(url, CHUNK, settings)) as store:
        with pytest.raises(StoreError, match="source of the password"):
            store.contains([KEY])
        gate.set()


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (lambda: 1 / 0, "raised ZeroDivisionError"),
        (lambda: b"t0ps3cret", "returned bytes, not a text"),
        (lambda: Path("t0ps3cret").read_text(), "raised FileNotFoundError"),
    ],
)
def test_a_function_that_fails_is_told_without_its_text(server, source, cause):
    with (
        closing(opened(server, source)) as store,
        pytest.raises(StoreError, match=cause) as e,
    ):
        store.contains([KEY])
    assert "t0ps3cret" not in str(e.value)


def test_a_refused_token_shows_nowhere(server, cloud):
    def refused():
        return "t0ps3cret"

    settings = StoreSettings(password_command=refused, timeout_s=20)
    url = f"redis://kv@127.0.0.1:{server.port}/0"
    with closing(open_store(url, CHUNK, settings)) as store:
        with pytest.raises(StoreError, match="Authentication") as e:
            store.contains([KEY])
        shown = f"{e.value} {store!r} {settings!r} {read_url(url, settings)!r}"
    assert "t0ps3cret" not in shown


def test_the_nodes_of_a_cluster_get_the_token(tmp_path):
    with clusters.running(redis_binary(), tmp_path) as cluster:
        for each in cluster.servers:
            rules = ("on", ">token", "~*", *COMMANDS, "+asking", "+cluster|slots")
            cluster.say(each, "ACL SETUSER", "kv", *rules)
        url = cluster.url.replace("://:s3cret@", "://kv@")
        settings = StoreSettings(password_command=lambda: "token", timeout_s=20)
        with closing(open_store(url, CHUNK, settings)) as store:
            assert store.put(KEY, memoryview(PAYLOAD))
            assert get(store, KEY) == PAYLOAD


@pytest.mark.parametrize(
    ("url", "more"),
    [("redis://kv:t0ps3cret@h:6379/0", {}), ("redis://kv@h:6379/0", {"password_file": "/run/pw"})],
)
def test_two_sources_are_refused(url, more):
    settings = StoreSettings(password_command=("get",), **more)
    with pytest.raises(ConfigError, match="leave one of them out") as e:
        open_store(url, CHUNK, settings)
    assert "t0ps3cret" not in str(e.value)


def test_the_source_is_what_the_settings_name():
    settings = StoreSettings(password_command=("echo", "token"))
    source = password_source("kv", settings)
    assert source.wait(soon()) == "token"
    assert source.get_credentials() == ("kv", "token")
    assert isinstance(source, redis.CredentialProvider)
