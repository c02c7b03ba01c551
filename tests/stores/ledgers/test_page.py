from __future__ import annotations

import pytest

from kvtransfer.errors import PartError
from kvtransfer.stores.ledgers.interface import GONE, USED
from kvtransfer.stores.ledgers.member import Member
from kvtransfer.stores.ledgers.page import Page
from kvtransfer.stores.ledgers.scope import Limit, Scope
from tests.stores.ledgers.quotas import NBYTES, TENANT, key_of

SCOPE = Scope("tenant", TENANT)
LEASE = 20 * NBYTES
LIMIT = Limit(SCOPE, 512 * LEASE)
SMALL = Limit(SCOPE, 3 * NBYTES)


def member(number):
    return Member(key_of(1, number), TENANT)


@pytest.fixture
def evicted():
    return []


@pytest.fixture
def page_of(ledger, clock, evicted):
    def made(limit, writer="me"):
        return Page(limit, ledger, writer, lambda _, members: evicted.extend(members), clock)

    return made


def held(ledger):
    return ledger.state(SCOPE).held_bytes


def test_puts_use_up_a_lease_before_the_ledger_is_told_again(page_of, ledger):
    page = page_of(LIMIT)
    for number in range(21):  # the first is counted by itself
        assert page.admit(member(number), NBYTES)
    assert len(ledger.told) == 1
    assert held(ledger) == NBYTES + LEASE
    assert page.admit(member(21), NBYTES)
    assert len(ledger.told[1].entries) == 21
    assert held(ledger) == 22 * NBYTES + LEASE


def test_a_lease_ends_with_time(page_of, ledger, clock):
    page = page_of(LIMIT)
    page.admit(member(0), NBYTES)
    clock.now_s += 5
    page.admit(member(1), NBYTES)
    assert len(ledger.told) == 2


def test_a_lease_is_held_while_puts_come_and_then_given_back(page_of, ledger, clock):
    page = page_of(LIMIT)
    for number in range(2):
        page.admit(member(number), NBYTES)
    for passed_s, left in ((4, LEASE - NBYTES), (1, 0)):
        clock.now_s += passed_s
        page.settle()
        assert held(ledger) == 2 * NBYTES + left
    told = len(ledger.told)
    page.settle()
    assert len(ledger.told) == told


def test_leases_are_smaller_where_many_writers_have_one(page_of, ledger):
    for number in range(12):
        page = page_of(LIMIT, f"writer-{number}")
        for put in range(3):  # the second uses up the lease, and the third knows of the others
            page.admit(member(3 * number + put), LEASE)
    sizes = [telling.lease_bytes for telling in ledger.told]
    assert sizes[:2] == [LEASE, LEASE]
    assert sizes[-1] == 0  # a ninth of 1/64 has no room for such a put
    assert held(ledger) - 36 * LEASE == LIMIT.nbytes // 64


def test_where_few_entries_fit_each_is_counted_by_itself(page_of, ledger, evicted):
    page = page_of(SMALL)
    for number in range(5):
        assert page.admit(member(number), NBYTES)
    assert [telling.lease_bytes for telling in ledger.told] == [0] * 5
    assert evicted == [member(0), member(1)]


def test_what_can_never_fit_is_refused_without_a_call(page_of, ledger):
    page = page_of(SMALL)
    assert not page.admit(member(1), 4 * NBYTES)
    assert ledger.told == []
    page.settle()
    assert ledger.state(SCOPE).refused == 1


def test_leases_of_others_may_leave_no_room(page_of, ledger):
    assert page_of(LIMIT, "other").admit(member(0), NBYTES)
    page = page_of(SMALL)
    assert not page.admit(member(1), NBYTES)
    page.settle()
    assert member(1) not in {each for uses in ledger.members(SCOPE) for each in uses}


def test_notes_are_told_with_the_next_call(page_of, ledger):
    page = page_of(SMALL)
    for number in range(3):
        page.admit(member(number), NBYTES)
    page.note(member(0), USED)
    page.note(member(1), GONE)
    page.note(member(1), USED)  # what is gone stays so
    page.admit(member(3), NBYTES)
    assert ledger.told[-1].entries == {member(0): USED, member(1): GONE, member(3): NBYTES}
    assert held(ledger) == 3 * NBYTES


def test_notes_outlive_a_failure(page_of, ledger):
    page = page_of(SMALL)
    page.admit(member(0), NBYTES)
    page.note(member(0), GONE)
    ledger.fails = True
    with pytest.raises(PartError, match="fails"):
        page.settle()
    with pytest.raises(PartError, match="fails"):
        page.admit(member(1), NBYTES)
    ledger.fails = False
    page.settle()
    assert held(ledger) == 0


def test_many_notes_are_told_in_several_calls(page_of, ledger):
    page = page_of(SMALL)
    for number in range(1200):
        page.note(member(number), GONE)
        page.note(member(number), USED)
    for _ in range(3):
        page.settle()
    assert [len(telling.entries) for telling in ledger.told] == [500, 500, 200]


def test_a_lost_ledger_shows(page_of, server, ledger):
    page = page_of(SMALL)
    page.admit(member(0), NBYTES)
    page.is_registered = page.was_new = False
    page.admit(member(1), NBYTES)
    assert not page.was_new
    ledger.forget(SCOPE)
    page.admit(member(2), NBYTES)
    assert page.was_new
