import pytest

from tests.commands.conftest import TENANT
from tests.stores.ledgers.quotas import MODEL, NBYTES, client_of, opened_for, put
from tests.stores.redis.servers import Server, redis_binary


@pytest.fixture
def url(tmp_path):
    server = Server(redis_binary(), tmp_path)
    with opened_for(server.url, each_bytes=4 * NBYTES, models_bytes={MODEL: 10 * NBYTES}) as store:
        for number in range(5):
            put(store, 1, number, TENANT)
        put(store, 2, 1, "")
        put(store, 1, 9, TENANT, nbytes=5 * NBYTES)
    yield server.url
    server.kill()


def test_each_scope_is_a_row(run, url):
    rows = run("quota", url, "--json").objects
    assert rows == [
        {
            "scope": "model",
            "name": MODEL,
            "limit_bytes": 10 * NBYTES,
            "held_bytes": 5 * NBYTES,
            "entries": 5,
            "evicted": 0,
            "refused": 0,
        },
        {
            "scope": "tenant",
            "name": TENANT,
            "limit_bytes": 4 * NBYTES,
            "held_bytes": 4 * NBYTES,
            "entries": 4,
            "evicted": 1,
            "refused": 1,
        },
    ]


def test_as_a_table(run, url):
    ran = run("quota", url)
    title, model, tenant = ran.out.splitlines()
    assert title.split() == ["scope", "name", "limit", "held", "entries", "evicted", "refused"]
    assert model.split()[:2] == ["model", MODEL]
    assert "100%" in tenant


def test_a_lost_ledger_is_made_anew(run, url):
    before = run("quota", url, "--json").objects
    with client_of(url) as client:
        client.delete(*client.scan_iter("kvtransfer:quota:{tenant:*:order"))
    again = run("quota", url, "--recount", "--json").objects
    for row in (before[1], again[1]):
        del row["evicted"], row["refused"]  # these begin anew
    assert again == before


def test_what_others_have_removed_counts_no_longer(run, url):
    with client_of(url) as client:
        client.delete(*client.scan_iter("*@*"))
        for order in client.scan_iter("kvtransfer:quota:*:order"):  # a while ago
            client.zadd(order, dict.fromkeys(client.zrange(order, 0, -1), 1))
    assert [row["entries"] for row in run("quota", url, "--json").objects] == [5, 4]
    assert run("quota", url, "--recount", "--json").objects == []


def test_a_store_without_quotas(run, tmp_path):
    ran = run("quota", f"disk://{tmp_path}/chunks")
    assert ran.status == 2
    assert "keeps no quotas: only Redis and Valkey do" in ran.err


def test_no_engine_has_counted_yet(run, tmp_path):
    server = Server(redis_binary(), tmp_path)
    assert run("quota", server.url, "--json").out == ""
    ran = run("quota", server.url, "--recount")
    assert (ran.status, ran.out) == (0, "")
    assert ran.err.endswith("counts under no quota; engines do with a quotas_file\n")
    server.kill()
