from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.errors import PartError
from kvtransfer.metrics import Metrics
from kvtransfer.quotas.limits import RemoteLimits
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.ledgers.books import Books
from kvtransfer.stores.ledgers.interface import GONE
from kvtransfer.stores.ledgers.member import Member
from kvtransfer.stores.ledgers.scope import Scope, ScopeLimits
from kvtransfer.stores.open import open_entries
from tests.stores.ledgers.quotas import FACTS, MODEL, NBYTES, TENANT, key_of

ROOM = 3 * NBYTES
LIMITS = ScopeLimits(RemoteLimits(each_bytes=ROOM, models_bytes={MODEL: 2 * ROOM}), "")
TENANTS, MODELS = Scope("tenant", TENANT), Scope("model", MODEL)


def member(number, tenant=TENANT):
    return Member(key_of(1, number), tenant)


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def books(ledger, metrics, clock):
    return Books(LIMITS, ledger, "me", metrics, clock)


@pytest.fixture
def store(server):
    with closing(open_entries(server.url, StoreSettings())) as opened:
        yield opened


def put(books, store, number):
    assert books.admit(member(number), NBYTES)
    store.put(key_of(1, number), memoryview(bytes(NBYTES)), FACTS, TENANT)


def there(store, count):
    return [
        i for i, held in enumerate(store.contains([key_of(1, i) for i in range(count)])) if held
    ]


def test_what_gives_way_in_one_scope_counts_in_none(books, store, ledger, metrics):
    for number in range(5):
        put(books, store, number)
    books.settle()
    assert ledger.state(TENANTS).held_bytes == ledger.state(MODELS).held_bytes == ROOM
    assert there(store, 5) == [2, 3, 4]
    assert metrics.take()["remote_quota_evicted_entries"] == 2


def test_what_is_refused_in_one_scope_counts_in_none(ledger, metrics):
    limits = RemoteLimits(each_bytes=ROOM, models_bytes={MODEL: NBYTES})
    books = Books(ScopeLimits(limits, ""), ledger, "me", metrics)
    assert not books.admit(member(1), 2 * NBYTES)
    books.settle()
    assert ledger.state(TENANTS).held_bytes == 0
    assert metrics.take()["remote_quota_refused_entries"] == 1


def test_a_failure_counts_in_no_scope(books, ledger, monkeypatch):
    tell = ledger.tell

    def fails_for_models(limit, *told):
        if limit.scope == MODELS:
            raise PartError("that node is down")
        return tell(limit, *told)

    monkeypatch.setattr(ledger, "tell", fails_for_models)
    with pytest.raises(PartError, match="node is down"):
        books.admit(member(1), NBYTES)
    monkeypatch.undo()
    books.settle()
    assert ledger.state(TENANTS).held_bytes == 0


def test_what_could_not_be_removed_is_removed_later(books, store, ledger, monkeypatch):
    for number in range(3):
        put(books, store, number)

    def fails(members):
        raise PartError("that node is down")

    monkeypatch.setattr(ledger, "remove", fails, raising=False)
    with pytest.raises(PartError, match="node is down"):
        books.admit(member(3), NBYTES)
    assert there(store, 3) == [0, 1, 2]
    monkeypatch.delattr(ledger, "remove")
    books.settle()
    assert there(store, 3) == [1, 2]


def test_scopes_are_listed_once(books, ledger):
    books.admit(member(1), NBYTES)
    assert not books.settle()
    assert set(ledger.scopes()) == {TENANTS, MODELS}


def test_a_ledger_that_was_lost_is_told(books, ledger):
    books.admit(member(1), NBYTES)
    books.settle()
    ledger.set_counted(is_counted=True)
    ledger.forget(TENANTS)
    ledger.register(TENANTS)
    books.admit(member(2), NBYTES)
    assert books.settle()
    assert not ledger.is_counted()
    assert not books.settle()


def test_pages_of_tenants_that_went_are_dropped(books, ledger, clock):
    books.admit(member(1), NBYTES)
    books.settle()
    clock.now_s += 301
    books.settle()
    told = len(ledger.told)
    books.note(member(1), GONE)
    books.settle()
    assert len(ledger.told) == told + 2  # in pages that were begun anew
    assert ledger.state(TENANTS).held_bytes == 0


def test_what_a_listing_shows_is_counted_and_trimmed(books, store, ledger):
    for number in range(5):
        store.put(key_of(1, number), memoryview(bytes(NBYTES)), FACTS, TENANT)
    members = [member(number) for number in range(5)]
    books.learn(dict.fromkeys(members, NBYTES), {each: i for i, each in enumerate(members)})
    assert there(store, 5) == [2, 3, 4]
    assert ledger.state(TENANTS).held_bytes == ROOM
