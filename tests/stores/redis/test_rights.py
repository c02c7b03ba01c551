"""The users of docs/security.md can do what the page says, with the rights that it gives them."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

from kvtransfer.cli import main
from kvtransfer.config import TransferConfig
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.feeds.open import open_feed
from kvtransfer.stores.ledgers.scope import Scope
from kvtransfer.stores.open import open_entries
from kvtransfer.stores.redis.ledger_commands import COUNTED, REGISTRY, names_of
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, get
from tests.operate.entries import FACTS, key_of
from tests.stores.ledgers.quotas import MODEL, NBYTES, TENANT, opened_for
from tests.stores.ledgers.quotas import get as get_one
from tests.stores.ledgers.quotas import put as put_one
from tests.stores.redis.page import block
from tests.stores.redis.servers import Server, redis_binary, until

PATIENT = StoreSettings(timeout_s=30.0, ttl_s=100, refresh_ttl=True)
OF_CLUSTERS = {"cluster|info"}
ON_A_BUSY_MACHINE = {"ping"}  # asked where it took long to connect; a refusal is an answer, too
MANY = 3


@pytest.fixture
def server(tmp_path):
    lines = [block(f"{who}.acl")[0] for who in ("users", "quotas", "readers", "operators")]
    running = Server(
        redis_binary(), tmp_path, "maxmemory 2gb", "maxmemory-policy allkeys-lru", *lines
    )
    with closing(open_entries(running.url, StoreSettings())) as store:
        for number in range(MANY):
            assert store.put(key_of(number), memoryview(bytes(1000)), FACTS)
    with running.client() as client:
        client.config_resetstat()
    yield running
    running.kill()


def url(server, user):
    return f"redis://{user}:PASSWORD@127.0.0.1:{server.port}/1"


def granted(name):
    return set(re.findall(r"\+(\S+)", block(name)[0]))


def refused(server):
    """Commands that a user of the page was not allowed."""
    with server.client() as client:
        return {entry["object"] for entry in client.acl_log()}


def used(server, possible):
    """Which of the ``possible`` commands the server has run."""
    with server.client() as client:
        seen = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    return {command for command in possible if command in seen}


def test_an_engine_uses_exactly_its_rights(server):
    opened = open_store(url(server, "kv"), CHUNK, PATIENT)
    with closing(opened) as store:
        assert store.contains([KEY]) == [False]
        assert store.put(KEY, memoryview(PAYLOAD))
        assert store.put(KEY, memoryview(PAYLOAD))  # renews what is there
        assert get(store, KEY) == PAYLOAD
    with closing(open_entries(url(server, "kv"), PATIENT)) as store:
        store.remove(key_of(0))
    with closing(open_feed(TransferConfig.of(remote_url=url(server, "kv")))) as feed:
        feed.append("00", b"tokens")
        reader = feed.reader("00")
        assert [reader.read(1000), reader.read(1000)] == [[b"tokens"], []]
    assert refused(server) <= ON_A_BUSY_MACHINE
    assert used(server, granted("users.acl")) == granted("users.acl")


def test_an_engine_with_quotas_uses_exactly_its_rights(server, ran):
    own = granted("quotas.acl") - granted("users.acl")
    address = url(server, "counting").replace("/1", "/0")
    with server.client() as client:
        with opened_for(address, each_bytes=2 * NBYTES) as store:
            for number in range(4):
                assert put_one(store, 1, number)
            assert get_one(store, 1, 3)
            until(lambda: client.sismember(REGISTRY, COUNTED))  # by a recount
        with opened_for(address, models_bytes={MODEL: 512 * NBYTES}) as store:
            assert put_one(store, 1, 5)  # from a lease, which is given back
        client.delete(*names_of(Scope("tenant", TENANT)))  # then its scope has nothing
    status, _ = ran(server, "counting", "quota", ["--recount"])
    assert (status, refused(server) - ON_A_BUSY_MACHINE) == (0, set())
    assert used(server, own) == own


LOOKS = {
    "ls": [],
    "du": [],
    "show": [key_of(0)],
    "verify": [],
    "watch": ["--interval", "0.1", "--count", "1"],
    "report": ["--output", "report.html"],
}
CHANGES = {
    "doctor": ["--chunk-mib", "1"],
    "bench": ["--mib", "1", "--total-mib", "8"],
    "verify": ["--repair"],
    "clear": ["--all"],
}


@pytest.fixture
def ran(monkeypatch, tmp_path, capsys):
    """Runs a verb as a user, and returns its exit status and what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(server, user, verb, arguments):
        monkeypatch.setenv("KVTRANSFER_REMOTE_URL", url(server, user).replace("/1", "/0"))
        status = main([verb, *arguments])
        return status, capsys.readouterr().out

    return run


def test_a_reader_may_look_and_change_nothing(server, ran):
    for verb, arguments in LOOKS.items():
        status, _ = ran(server, "reader", verb, arguments)
        assert (verb, status, refused(server)) == (verb, 0, set())
    mays = granted("readers.acl") - OF_CLUSTERS - {"select"}
    assert used(server, mays) == mays
    status, _ = ran(server, "reader", "clear", CHANGES["clear"])
    assert status != 0
    with closing(open_entries(server.url, StoreSettings())) as store:
        assert len(list(store.entries())) == MANY


def test_an_operator_may_do_what_the_verbs_do(server, ran):
    for verb, arguments in {**LOOKS, **CHANGES}.items():
        status, said = ran(server, "operator", verb, arguments)
        assert (verb, refused(server)) == (verb, set())
        assert status == 0 or verb == "doctor", said
    with closing(open_entries(server.url, StoreSettings())) as store:
        assert list(store.entries()) == []
    rights = granted("operators.acl") - OF_CLUSTERS - {"select"}
    assert used(server, rights) == rights


def test_doctor_judges_an_engines_user_by_what_it_may(server, ran):
    _, said = ran(server, "kv", "doctor", CHANGES["doctor"])
    assert "no entry could be looked at" in said
    assert "until then every chunk is computed" not in said
