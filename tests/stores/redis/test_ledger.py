from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.errors import PartError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.ledgers.member import Member
from kvtransfer.stores.open import open_entries, open_ledger
from kvtransfer.stores.redis.ledger_commands import REGISTRY
from kvtransfer.testing import CHUNK, KEY, PAYLOAD
from tests.faults.lying_server import LyingServer
from tests.stores.ledgers.ledger_contract import FIRST, LIMIT, SCOPE, LedgerContract, tell
from tests.stores.ledgers.quotas import (
    FACTS,
    TENANT,
    key_of,
    opened,
)
from tests.stores.redis import cluster as clusters
from tests.stores.redis.servers import BINARIES, Server, redis_binary
from tests.stores.redis.test_hostile_servers import REPLIES

PATIENT = StoreSettings(timeout_s=30.0)


@pytest.fixture(scope="module", params=BINARIES)
def running(request, tmp_path_factory):
    server = Server(BINARIES[request.param](), tmp_path_factory.mktemp("ledger"))
    yield server
    server.kill()


@pytest.fixture
def client(running):
    with running.client() as client:
        client.flushall()
        yield client


@pytest.fixture
def ledger(running, client):
    with closing(open_ledger(running.url, PATIENT)) as opened:
        yield opened


class TestLedgersOnAServer(LedgerContract):
    pass


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with clusters.running(redis_binary(), tmp_path_factory.mktemp("cluster")) as running:
        yield running


class TestLedgersInACluster(LedgerContract):
    @pytest.fixture
    def ledger(self, cluster):
        cluster.flush()
        with closing(open_ledger(cluster.url, PATIENT)) as opened:
            yield opened

    def test_entries_are_removed_wherever_they_lie(self, cluster, ledger):
        keys = [key_of(1, number) for number in range(60)]
        with closing(open_entries(cluster.url, PATIENT)) as store:
            for key in keys:
                store.put(key, memoryview(b"payload"), FACTS)
            ledger.remove([Member(key, "") for key in keys[:40]])
            assert store.contains(keys) == [False] * 40 + [True] * 20
            assert list(store.orphans()) == []


def test_entries_are_removed(running, client, ledger):
    keys = [key_of(1, number) for number in range(3)]
    with closing(open_entries(running.url, PATIENT)) as store:
        for key in keys:
            store.put(key, memoryview(b"payload"), FACTS)
        ledger.remove([Member(key, TENANT) for key in keys[:2]])
        assert store.contains(keys) == [False, False, True]
    assert client.dbsize() == 2


def test_a_registry_that_is_none_fails_alone(client, ledger):
    client.set(REGISTRY, "planted")
    with pytest.raises(PartError, match="WRONGTYPE"):
        ledger.register(SCOPE)
    assert tell(ledger, {FIRST: 10}).held_bytes == 10


def test_members_that_name_no_entry_are_never_removed(client, ledger):
    tell(ledger, {FIRST: 10})
    for part in ("sizes", "order"):
        client.zadd(f"kvtransfer:quota:{{tenant:{TENANT}}}:{part}", {"somebody's": 1})
    client.hincrby(f"kvtransfer:quota:{{tenant:{TENANT}}}:state", "held", 1)
    assert tell(ledger, {}, LIMIT).held_bytes == 11
    assert tell(ledger, {Member(key_of(1, 5), TENANT): 95}).victims == [FIRST]


SAID_OF_A_LEDGER = {
    **REPLIES,
    "a number": b":1\r\n",
    "a text": b"+OK\r\n",
    "a null": b"_\r\n",
    "two parts": b"*2\r\n:0\r\n$1\r\n5\r\n",
    "a text for leases": b"*4\r\n:0\r\n$1\r\n5\r\n$1\r\n1\r\n*0\r\n",
    "a long number": b"*4\r\n:0\r\n$20\r\n99999999999999999999\r\n:0\r\n*0\r\n",
    "a negative number": b"*4\r\n:0\r\n$2\r\n-5\r\n:0\r\n*0\r\n",
    "numbers for members": b"*4\r\n:0\r\n$1\r\n5\r\n:0\r\n*2\r\n:1\r\n*0\r\n",
    "foreign members": b"*4\r\n:0\r\n$1\r\n5\r\n:0\r\n*2\r\n$2\r\n\xff\xfe\r\n$1\r\n*\r\n",
    "more than it may hold": b"*4\r\n:0\r\n$9\r\n999999999\r\n:0\r\n*0\r\n",
}


@pytest.mark.parametrize("reply", SAID_OF_A_LEDGER.values(), ids=SAID_OF_A_LEDGER)
def test_a_hostile_server_costs_hits_only(reply):
    absent = b"%0\r\n:0\r\n"
    server = LyingServer(lambda asked: absent if b"HGETALL" in asked else reply)
    url = f"redis://127.0.0.1:{server.port}"
    entries = opened(url, each_bytes=10 * CHUNK.nbytes, timeout_s=10.0)
    store = GuardedStore(FormattedStore(entries, CHUNK), url)
    with closing(server), closing(store):
        assert not store.put(KEY, memoryview(PAYLOAD), TENANT)
        assert store.faults == 0
