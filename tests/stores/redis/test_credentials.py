from __future__ import annotations

import traceback
from contextlib import closing

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.open import open_tiers
from kvtransfer.stores.redis.store import RedisStore
from kvtransfer.stores.redis.url import read_url
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, get
from tests.stores.redis import cluster as clusters
from tests.stores.redis import sentinel as sentinels
from tests.stores.redis.page import block
from tests.stores.redis.servers import BINARIES, Server, redis_binary

SECRET = "t0p/s3cret@#:%"
ENCODED = "t0p%2Fs3cret%40%23%3A%25"
# What the page says a user needs: nothing of CONFIG, KEYS or scripts.
COMMANDS = [word for word in block("users.acl")[0].split() if word.startswith("+")]


@pytest.fixture(scope="module", params=BINARIES)
def server(request, tmp_path_factory):
    running = Server(BINARIES[request.param](), tmp_path_factory.mktemp("acl"))
    with running.client() as client:
        client.execute_command("ACL SETUSER", "kv", "on", f">{SECRET}", "~*", *COMMANDS)
    yield running
    running.kill()


@pytest.fixture
def address(server):
    return f"127.0.0.1:{server.port}/0"


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n")
    return path


def put_and_get(store):
    assert store.put(KEY, memoryview(PAYLOAD))
    assert store.contains([KEY]) == [True]
    return get(store, KEY)


def test_user_and_password_from_the_url(address):
    url = f"redis://kv:{ENCODED}@{address}"
    with closing(open_store(url, CHUNK, StoreSettings(ttl_s=100))) as store:
        assert put_and_get(store) == PAYLOAD


def test_password_from_a_file(address, password_file):
    settings = StoreSettings(password_file=str(password_file))
    with closing(open_store(f"redis://kv@{address}", CHUNK, settings)) as store:
        assert put_and_get(store) == PAYLOAD


def test_from_the_environment(address, password_file):
    for environ in (
        {"KVTRANSFER_REMOTE_URL": f"redis://kv:{ENCODED}@{address}"},
        {
            "KVTRANSFER_REMOTE_URL": f"redis://kv@{address}",
            "KVTRANSFER_REMOTE_PASSWORD_FILE": str(password_file),
        },
    ):
        config = TransferConfig.load(environ=environ)
        assert "t0p" not in repr(config)
        with closing(open_tiers(config, CHUNK)) as store:
            assert put_and_get(store) == PAYLOAD


def test_a_password_changed_meanwhile_is_read_anew(server, address, password_file):
    settings = StoreSettings(password_file=str(password_file))
    with closing(open_store(f"redis://turning@{address}", CHUNK, settings)) as store:
        for password in ("first", "second"):
            with server.client() as client:
                rules = ("resetpass", "on", f">{password}", "~*", *COMMANDS)
                client.execute_command("ACL SETUSER", "turning", *rules)
                client.client_kill_filter(user="turning", skipme=True)
            password_file.write_text(password)
            assert put_and_get(store) == PAYLOAD


def test_a_wrong_password_shows_nowhere(address, tmp_path):
    path = tmp_path / "password"
    path.write_text("t0ps3cret")
    for url, settings in (
        (f"redis://kv:t0ps3cret@{address}", StoreSettings()),
        (f"redis://kv@{address}", StoreSettings(password_file=str(path))),
    ):
        with closing(open_store(url, CHUNK, settings)) as store:
            with pytest.raises(StoreError, match="Authentication") as e:
                store.contains([KEY])
            shown = "".join(traceback.format_exception(e.value)) + repr(store) + repr(settings)
            assert "t0ps3cret" not in shown + repr(read_url(url, settings))


def test_a_user_with_these_commands_may_use_feeds(address):
    url = f"redis://kv:{ENCODED}@{address}"
    with closing(RedisStore.open_feed(url, StoreSettings())) as feed:
        feed.append("ab", b"1")
        assert feed.reader("ab").read(100) == [b"1"]


def test_what_a_user_may_not_is_an_error_of_the_store(server, address):
    with server.client() as client:
        client.execute_command("ACL SETUSER", "reader", "on", ">pw", "~*", *COMMANDS, "-set")
    with closing(open_store(f"redis://reader:pw@{address}", CHUNK, StoreSettings())) as store:
        with pytest.raises(StoreError, match="NoPermission"):
            store.put(KEY[:-1] + "f", memoryview(PAYLOAD))
        store.contains([KEY])


@pytest.mark.parametrize("binary", BINARIES)
def test_a_user_of_a_cluster(tmp_path, binary):
    with clusters.running(BINARIES[binary](), tmp_path) as cluster:
        for each in cluster.servers:
            rules = ("on", ">pw", "~*", *COMMANDS, "+asking", "+cluster|slots")
            cluster.say(each, "ACL SETUSER", "kv", *rules)
        url = cluster.url.replace("://:s3cret@", "://kv:pw@")
        with closing(open_store(url, CHUNK, StoreSettings(ttl_s=100))) as store:
            assert put_and_get(store) == PAYLOAD


def test_a_user_of_sentinels_own(tmp_path):
    with sentinels.running(redis_binary(), tmp_path) as stack:
        for sentinel in stack.sentinels:
            rules = ("on", ">other", "+hello", "+sentinel|masters")
            stack.ask(sentinel, "ACL SETUSER", "asker", *rules)
        own = "sentinel_username=asker&sentinel_password=other"
        url = stack.url.replace(f"sentinel_password={sentinels.SENTINEL_PASSWORD}", own)
        with closing(open_store(url, CHUNK, StoreSettings())) as store:
            assert put_and_get(store) == PAYLOAD


def test_a_password_file_that_is_not_there_is_told(address, tmp_path):
    settings = StoreSettings(password_file=str(tmp_path / "none"))
    with (
        closing(open_store(f"redis://kv@{address}", CHUNK, settings)) as store,
        pytest.raises(StoreError, match="none: No such file"),
    ):
        store.contains([KEY])


def test_two_passwords_are_refused(password_file):
    settings = StoreSettings(password_file=str(password_file))
    with pytest.raises(ConfigError, match="leave one of them out") as e:
        open_store("redis://kv:t0ps3cret@h:6379/0", CHUNK, settings)
    assert "t0ps3cret" not in str(e.value)
