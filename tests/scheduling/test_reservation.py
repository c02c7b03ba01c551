"""Room that is set aside for loads to come: never given twice, and given back whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.scheduling.fetches import Fetches
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.reservation import Reservations


def opened(slots=4):
    index, fetches = Index(slots), Fetches()
    return index, fetches, Reservations(index, fetches)


def hold(index, keys):
    """Slots of ``keys``, idle."""
    slots = index.claim_all(keys)
    index.unpin_all(slots)
    return slots


def test_held_chunks_are_pinned_and_the_others_keep_room():
    index, _, reservations = opened()
    (slot,) = hold(index, "b")
    reserved = reservations.reserve("abc")
    assert reserved.slots == [None, slot, None]
    assert (reserved.left, reserved.fetches) == (3, 2)
    assert index.pins("b") == [1]
    assert (index.room, reservations.room) == (3, 1)
    reserved.release()
    assert index.pins("b") == [0]
    assert (reserved.left, reservations.room) == (0, 4)
    reserved.release()
    assert reservations.room == 4


def test_only_as_many_leading_chunks_are_reserved_as_fit():
    index, _, reservations = opened(slots=3)
    hold(index, "c")
    first = reservations.reserve("ab")
    assert reservations.room == 1
    second = reservations.reserve("cdef")
    assert second.slots == index.find_all("c")
    assert index.pins("c") == [1]
    third = reservations.reserve("xc")
    assert third.slots == []
    assert index.pins("c") == [1]  # what lies behind the end keeps no pin
    for reserved in (first, second, third):
        reserved.release()
    assert reservations.room == 3


def test_pieces_are_claimed_in_order_and_pass_to_the_caller():
    index, _, reservations = opened()
    hold(index, "b")
    reserved = reservations.reserve("abc")
    slots, fetched = reserved.claim_next(2)
    assert index.find_all("ab") == slots
    assert fetched == slots[:1]
    assert (reserved.begun, reserved.left, reserved.fetches) == (2, 1, 1)
    assert reserved.claim_next(0) == ([], [])
    reserved.release()
    assert index.pins("ab") == [1, 1]  # its jobs have these pins
    assert index.find_all("c") == [None]
    assert reservations.room == 2


def test_what_another_load_has_fetched_meanwhile_is_shared():
    index, _, reservations = opened()
    reserved = reservations.reserve("ab")
    (slot,) = index.claim_all("a")
    slots, fetched = reserved.claim_next(2)
    assert slots == [slot, *fetched]
    assert index.pins("a") == [2]
    assert reservations.room == index.room == 2


def test_bytes_that_were_forgotten_are_fetched_again():
    index, _, reservations = opened()
    (slot,) = hold(index, "a")
    reserved = reservations.reserve("a")
    index.forget(slot)
    slots, fetched = reserved.claim_next(1)
    assert slots == fetched == index.find_all("a")
    assert reservations.room == 3


def test_a_chunk_without_a_slot_is_awaited_and_those_before_it_are_given():
    """The pins of others may take more than was foreseen; it goes on when they are gone."""
    index, _, reservations = opened(slots=2)
    reserved = reservations.reserve("ab")
    (taken,) = index.claim_all("z")
    slots, fetched = reserved.claim_next(2)
    assert slots == fetched == index.find_all("a")
    assert (reserved.begun, reserved.left) == (1, 1)
    assert reserved.claim_next(1) == ([], [])
    assert reservations.room == index.room - 1
    index.unpin(taken)
    assert reserved.claim_next(9) == (index.find_all("b"), index.find_all("b"))
    assert reserved.left == 0
    assert reservations.room == index.room


def test_no_chunk_is_given_before_one_that_lacks_a_slot():
    index, _, reservations = opened(slots=2)
    (held,) = hold(index, "b")
    reserved = reservations.reserve("ab")
    (taken,) = index.claim_all("z")
    assert reserved.claim_next(2) == ([], [])
    index.unpin(taken)
    slots, fetched = reserved.claim_next(2)
    assert slots == [*fetched, held] == index.find_all("ab")


def test_a_fetch_under_way_is_shared_and_shorter_loads_go_first():
    index, fetches, reservations = opened(slots=8)
    (slot,) = index.claim_all("a")
    fetches.begin({slot: 7})
    assert reservations.reserve("a").is_shared
    assert not reservations.reserve("b").is_shared
    assert reservations.reserve("c").priority < reservations.reserve("de").priority


KEYS = st.lists(st.sampled_from("abcdefgh"), max_size=6, unique=True)


@given(
    held=st.lists(st.sampled_from("abcdefgh"), max_size=4, unique=True),
    wanted=st.lists(KEYS, max_size=4),
    pieces=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12),
)
def test_fetches_are_reserved_only_where_there_is_room_and_all_of_it_comes_back(
    held, wanted, pieces
):
    index, _, reservations = opened(slots=4)
    hold(index, held)
    reserved, claimed = [], []
    for keys in wanted:
        reserved.append(reservations.reserve(keys))
        # Pins on held chunks may take room that others have reserved; their fetches wait for it.
        assert reservations.room >= 0 or reserved[-1].fetches == 0
    for which, most in pieces:
        if which < len(reserved):
            slots, fetched = reserved[which].claim_next(most)
            assert len(slots) <= most
            assert set(fetched) <= set(slots)
            claimed += slots
        assert reservations.room <= index.room
    for one in reserved:
        one.release()
    index.unpin_all(claimed)
    assert reservations.room == index.room == index.slots
