"""Max-min fair shares, against their definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.quotas.shares import Shares

SLOTS = 20


@given(limits=st.lists(st.integers(1, SLOTS), min_size=1, max_size=8), gone=st.integers(0, 8))
def test_no_share_could_be_larger_without_one_that_is_no_larger_being_smaller(limits, gone):
    shares = Shares(SLOTS)
    for limit in limits:
        shares.add(limit)
    for limit in limits[1:gone]:
        shares.remove(limit)
    wanted = limits[:1] + limits[max(1, gone) :]
    found = [shares.of(limit) for limit in wanted]
    assert sum(found) <= SLOTS
    cut = [share for share, limit in zip(found, wanted, strict=True) if share < limit]
    assert len(set(cut)) <= 1  # those that get less than they may get the same
    assert all(share <= max(cut, default=SLOTS) for share in found)
    if cut:
        assert SLOTS - sum(found) < len(cut)  # less is left than one for each of them


def test_of_more_tenants_than_slots_each_has_one():
    shares = Shares(2)
    for _ in range(5):
        shares.add(2)
    assert shares.of(2) == 1
    assert Shares(7).of(9) == 7
