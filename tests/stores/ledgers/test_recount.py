from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.metrics import Metrics
from kvtransfer.quotas.limits import RemoteLimits
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.ledgers.books import Books
from kvtransfer.stores.ledgers.interface import Telling
from kvtransfer.stores.ledgers.member import Member
from kvtransfer.stores.ledgers.recount import recount
from kvtransfer.stores.ledgers.scope import Limit, Scope, ScopeLimits
from kvtransfer.stores.open import open_entries
from tests.stores.ledgers.quotas import FACTS, NBYTES, TENANT, client_of, key_of, put

SCOPE = Scope("tenant", TENANT)
LIMITS = ScopeLimits(
    RemoteLimits(each_bytes=200 * NBYTES, namespaces_bytes={"prod": 200 * NBYTES}), "prod"
)


@pytest.fixture
def store(server):
    with closing(open_entries(server.url, StoreSettings())) as opened:
        yield opened


@pytest.fixture
def counted(store, ledger):
    def run():
        books = Books(LIMITS, ledger, "me", Metrics())
        return sum(recount(store.entries(), store.contains, ledger, books))

    return run


def member(number):
    return Member(key_of(1, number), TENANT)


def tell(ledger, scope, entries, put_us=()):
    ledger.tell(Limit(scope, 200 * NBYTES), "me", Telling(entries, put_us=dict(put_us)))
    ledger.register(scope)


def test_all_entries_are_counted(store, ledger, counted):
    for number in range(150):
        put(store, 1, number)
    counted()
    assert ledger.state(SCOPE).held_bytes == 150 * NBYTES
    assert ledger.is_counted()
    counted()
    assert ledger.state(SCOPE).entries == 150


def test_what_is_not_there_counts_no_longer_unless_it_may_be_on_its_way(store, ledger, counted):
    put(store, 1, 1)
    sizes = dict.fromkeys(map(member, range(3)), NBYTES)
    tell(ledger, SCOPE, sizes, {member(0): 1, member(1): 1})
    counted()
    ((uses,),) = [list(ledger.members(SCOPE))]
    assert set(uses) == {member(1), member(2)}


def test_a_namespace_counts_what_it_was_told(store, ledger, counted):
    namespace = Scope("namespace", "prod")
    for number in range(2):
        put(store, 1, number)
    tell(ledger, namespace, {member(0): NBYTES, member(5): NBYTES}, {member(5): 1})
    counted()
    assert ledger.state(namespace).held_bytes == NBYTES


def test_a_scope_with_nothing_in_it_is_forgotten(ledger, counted):
    tell(ledger, Scope("model", "gone"), {member(1): NBYTES}, {member(1): 1})
    counted()
    assert list(ledger.scopes()) == []


def test_where_no_limit_is_known_nothing_is_evicted(server, store, ledger, counted):
    model = Scope("model", "odd")
    store.put(key_of(1, 1), memoryview(bytes(NBYTES)), FACTS)
    tell(ledger, model, {Member(key_of(1, 1), ""): NBYTES}, {Member(key_of(1, 1), ""): 1})
    with client_of(server.url) as client:
        client.hset("kvtransfer:quota:{model:odd}:state", "limit", "odd")
    counted()
    assert store.contains([key_of(1, 1)]) == [True]
