"""What the ledgers of a store must do; ``ledger`` is a fixture that opens them empty."""

from __future__ import annotations

from kvtransfer.stores.ledgers.interface import GONE, USED, Telling
from kvtransfer.stores.ledgers.member import Member
from kvtransfer.stores.ledgers.scope import Limit, Scope
from tests.stores.ledgers.quotas import OTHER_TENANT, TENANT, key_of

SCOPE = Scope("tenant", TENANT)
LIMIT = Limit(SCOPE, 100)
ODD = Scope("model", "a{b}:c d/é@%")
MEMBERS = [Member(key_of(1, number), TENANT) for number in range(9)]
FIRST, SECOND, THIRD = MEMBERS[:3]


def tell(ledger, entries, limit=LIMIT, writer="me", **telling):
    return ledger.tell(limit, writer, Telling(entries, **telling))


class LedgerContract:
    def test_what_is_told_is_held(self, ledger):
        assert tell(ledger, {FIRST: 10, SECOND: 20}) == (True, 30, 0, [])
        assert tell(ledger, {FIRST: 15}) == (False, 35, 0, [])
        assert tell(ledger, {SECOND: GONE, THIRD: GONE}) == (False, 15, 0, [])
        state = ledger.state(SCOPE)
        assert (state.limit_bytes, state.held_bytes, state.entries) == (100, 15, 1)

    def test_the_oldest_count_no_longer(self, ledger):
        for member in (FIRST, SECOND):
            tell(ledger, {member: 50})
        tell(ledger, {FIRST: USED})
        assert tell(ledger, {THIRD: 50}) == (False, 100, 0, [SECOND])
        assert ledger.state(SCOPE).evicted == 1

    def test_a_use_of_what_is_not_there_counts_nothing(self, ledger):
        assert tell(ledger, {FIRST: USED}).held_bytes == 0
        assert ledger.state(SCOPE).entries == 0

    def test_a_lower_limit_takes_the_oldest(self, ledger):
        for member in MEMBERS:
            tell(ledger, {member: 10})
        account = tell(ledger, {}, Limit(SCOPE, 25))
        assert account == (False, 20, 0, MEMBERS[:7])

    def test_a_lease_counts_until_it_is_given_back(self, ledger):
        assert tell(ledger, {FIRST: 50}, lease_bytes=30).held_bytes == 80
        assert tell(ledger, {SECOND: 10}, lease_bytes=20).held_bytes == 80
        assert tell(ledger, {}, writer="other", lease_bytes=20) == (False, 100, 2, [])
        assert tell(ledger, {THIRD: 10}, writer="other", lease_bytes=20).victims == [FIRST]
        assert tell(ledger, {}).held_bytes == 40
        assert tell(ledger, {}, writer="other").held_bytes == 20
        assert ledger.state(SCOPE).entries == 2

    def test_where_leases_fill_it_an_entry_has_no_room(self, ledger):
        tell(ledger, {}, writer="other", lease_bytes=95)
        account = tell(ledger, {FIRST: 10})
        assert account.victims == [FIRST]

    def test_refusals_add_up(self, ledger):
        for refused in (2, 3):
            tell(ledger, {}, refused=refused)
        assert ledger.state(SCOPE).refused == 5

    def test_what_a_listing_shows_is_as_old_as_it_is(self, ledger):
        tell(ledger, {FIRST: 40})
        old = {SECOND: 30, THIRD: 30}
        assert tell(ledger, old, put_us={SECOND: 2000, THIRD: 1000}).held_bytes == 100
        assert tell(ledger, {FIRST: 99}, put_us={FIRST: 1}).held_bytes == 100
        assert tell(ledger, {MEMBERS[4]: 30}).victims == [THIRD]
        ((uses,),) = [list(ledger.members(SCOPE))]
        assert uses[SECOND] == 2000
        assert uses[FIRST] > 1000

    def test_scopes_have_ledgers_of_their_own(self, ledger):
        for scope in (SCOPE, Scope("tenant", OTHER_TENANT), ODD):
            assert tell(ledger, {FIRST: 10}, Limit(scope, 100)) == (True, 10, 0, [])
            assert ledger.register(scope)
            assert not ledger.register(scope)
        assert set(ledger.scopes()) == {SCOPE, Scope("tenant", OTHER_TENANT), ODD}
        ledger.forget(ODD)
        assert ledger.state(ODD).held_bytes == 0
        assert ODD not in set(ledger.scopes())

    def test_many_scopes_and_many_members_are_listed(self, ledger):
        scopes = {Scope("tenant", f"{number:032x}") for number in range(2000)}
        for scope in scopes:
            ledger.register(scope)
        assert set(ledger.scopes()) == scopes
        members = {Member(key_of(2, number), "") for number in range(1500)}
        listed = list(members)
        for begin in range(0, 1500, 500):
            tell(ledger, dict.fromkeys(listed[begin : begin + 500], 1), Limit(ODD, 10_000))
        assert {member for some in ledger.members(ODD) for member in some} == members

    def test_one_writer_recounts(self, ledger):
        assert not ledger.is_counted()
        assert ledger.claim("me")
        assert not ledger.claim("other")
        assert ledger.claim("me")
        ledger.set_counted(is_counted=True)
        assert ledger.is_counted()
        assert list(ledger.scopes()) == []
        ledger.set_counted(is_counted=False)
        assert not ledger.is_counted()

    def test_a_hundred_terabytes(self, ledger):
        limit, most = Limit(SCOPE, 1 << 50), 1 << 46
        for member in MEMBERS:
            held = tell(ledger, {member: most}, limit).held_bytes
        assert held == 9 * most == ledger.state(SCOPE).held_bytes
        assert tell(ledger, {}, Limit(SCOPE, most)).victims == MEMBERS[:8]

    def test_nothing_is_known_of_a_scope_without_a_ledger(self, ledger):
        state = ledger.state(SCOPE)
        assert (state.limit_bytes, state.held_bytes, state.entries) == (0, 0, 0)
        assert list(ledger.members(SCOPE)) == [{}]
