from __future__ import annotations

import logging
from threading import Event

import pytest

from kvtransfer.metrics import Metrics
from kvtransfer.quotas.limits import RemoteLimits
from kvtransfer.stores.ledgers import keeper as keepers
from kvtransfer.stores.ledgers.books import Books
from kvtransfer.stores.ledgers.keeper import Keeper
from kvtransfer.stores.ledgers.member import Member
from kvtransfer.stores.ledgers.scope import Scope, ScopeLimits
from tests.stores.ledgers.quotas import NBYTES, TENANT, key_of
from tests.stores.redis.servers import until

SCOPE = Scope("tenant", TENANT)
MEMBER = Member(key_of(1, 1), TENANT)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    for name in ("_SETTLE_S", "_LONGEST_PAUSE_S", "_ASK_AGAIN_S", "_STEP_S"):
        monkeypatch.setattr(keepers, name, 0.01)


@pytest.fixture
def books(ledger):
    return Books(ScopeLimits(RemoteLimits(each_bytes=10 * NBYTES), ""), ledger, "me", Metrics())


@pytest.fixture
def keeper_of(books, ledger):
    made = []

    def make(recount=lambda: iter(())):
        made.append(Keeper(books, ledger, "me", recount))
        return made[-1]

    yield make
    for each in made:
        each.close()


def held(ledger):
    return ledger.state(SCOPE).held_bytes


def test_nothing_begins_until_it_is_woken(books, ledger, keeper_of):
    keeper_of().close()
    keeper = keeper_of()
    books.note(MEMBER, NBYTES)
    assert held(ledger) == 0
    keeper.wake()
    keeper.wake()
    until(lambda: held(ledger) == NBYTES)


def test_it_outlives_failures_and_faults(books, ledger, keeper_of, monkeypatch, caplog):
    caplog.set_level(logging.WARNING, "kvtransfer")
    failed = Event()

    def at_fault():
        failed.set()
        raise RuntimeError("ours")

    keeper = keeper_of()
    ledger.fails = True
    books.note(MEMBER, NBYTES)
    keeper.wake()
    until(lambda: "the ledger fails" in caplog.text)
    monkeypatch.setattr(books, "settle", at_fault)
    assert failed.wait(20)
    until(lambda: "please report it" in caplog.text)
    monkeypatch.undo()
    ledger.fails = False
    until(lambda: held(ledger) == NBYTES)


def test_a_recount_goes_on_step_by_step_until_it_is_done(ledger, keeper_of):
    steps = []

    def recount():
        for number in range(5):
            steps.append(number)
            yield 1
        ledger.set_counted(is_counted=True)

    keeper_of(recount).wake()
    until(ledger.is_counted)
    assert steps == [0, 1, 2, 3, 4]


def test_another_writer_that_recounts_is_left_to_it(ledger, keeper_of):
    begun = Event()

    def recount():
        begun.set()
        yield 1

    assert ledger.claim("other")
    keeper_of(recount).wake()
    assert not begun.wait(0.5)
