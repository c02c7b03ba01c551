from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.chunks.tiling import Placement
from kvtransfer.plan import Report
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.planner import Planner

RANKS = 2


def planner(slots=4, keep=True, put=True, ranks=RANKS):
    return Planner(Index(slots), ranks=ranks, keep=keep, put=put)


def settle(planner, **counts):
    return planner.settle(Report(**counts))


def load(planner, *keys):
    return planner.load([Placement(key, (i,)) for i, key in enumerate(keys)])


def hold(planner, *keys):
    """Put chunks into host memory and leave them idle there."""
    for job in load(planner, *keys):
        settle(planner, loaded={job.job: RANKS})


@given(
    slots=st.integers(0, 5),
    held=st.lists(st.sampled_from("abcdefg"), max_size=5, unique=True),
    pinned=st.sets(st.sampled_from("abcdefg")),
    wanted=st.lists(st.sampled_from("abcdefg"), max_size=7, unique=True),
    stored=st.sets(st.sampled_from("abcdefg")),
)
def test_what_is_loadable_is_loaded(slots, held, pinned, wanted, stored):
    plans = planner(slots)
    hold(plans, *held)
    for key in pinned:
        if key in plans.index:
            plans.index.pin(key)
    before = set(filter(plans.index.__contains__, wanted))
    count = plans.loadable(wanted, stored)
    jobs = load(plans, *wanted[:count])
    assert [job.key for job in jobs] == wanted[:count]
    assert [job.fetch for job in jobs] == [key not in before for key in wanted[:count]]
    assert all(job.key in stored for job in jobs if job.fetch)
    assert len({job.slot for job in jobs}) == len(jobs)


def test_a_load_beyond_the_room_takes_what_fits_and_lets_go_of_the_rest():
    plans = planner(slots=2)
    hold(plans, "x")
    jobs = load(plans, "a", "b", "x")
    assert [job.key for job in jobs] == ["a"]
    assert plans.index.room == 1  # x is idle again


def test_a_chunk_on_its_way_is_not_fetched_twice():
    plans = planner()
    (first,), (second,) = load(plans, "a"), load(plans, "a")
    assert (first.fetch, second.fetch) == (True, False)
    assert first.slot == second.slot
    assert settle(plans, loaded={first.job: RANKS}).loaded == [first.job]
    assert plans.index.room == 3
    settle(plans, loaded={second.job: RANKS})
    assert plans.index.room == 4


def test_a_job_has_ended_when_every_rank_says_so_and_failed_when_one_does():
    plans = planner()
    (job,) = load(plans, "a")
    assert settle(plans, loaded={job.job: 1}, failed={job.job}).loaded == []
    settled = settle(plans, loaded={job.job: 1})
    assert (settled.loaded, settled.failed) == ([job.job], {job.job})
    assert "a" not in plans.index
    assert plans.index.room == 4


def test_who_shares_a_failed_fetch_keeps_its_slot_until_its_own_end():
    plans = planner()
    (first,), (second,) = load(plans, "a"), load(plans, "a")
    settle(plans, loaded={first.job: RANKS}, failed={first.job})
    (third,) = load(plans, "a")  # a new attempt, in another slot
    assert third.fetch
    assert third.slot != second.slot
    settle(plans, loaded={second.job: RANKS}, failed={second.job})
    assert "a" in plans.index


def test_a_save_holds_its_slot_until_it_is_copied_and_stored():
    plans = planner(slots=1)
    save = plans.save("a", [1, 2])
    assert plans.save("a", [1, 2]) is None  # held already
    assert plans.save("b", [3]) is None  # no slot
    assert settle(plans, copied={save.job: RANKS}).copied == [save.job]
    assert plans.save("b", [3]) is None
    settle(plans, stored={save.job: RANKS})
    assert plans.held(["a", "b"]) == 1
    assert plans.save("b", [3]) is not None
    assert "a" not in plans.index


def test_stored_may_be_reported_before_copied():
    plans = planner(slots=1)
    save = plans.save("a", [1])
    settle(plans, stored={save.job: RANKS})
    assert plans.index.room == 0
    settle(plans, copied={save.job: RANKS})
    assert plans.index.room == 1


def test_a_failed_copy_is_forgotten():
    plans = planner(put=False)
    save = plans.save("a", [1])
    settled = settle(plans, copied={save.job: RANKS}, failed={save.job})
    assert settled.failed == {save.job}
    assert "a" not in plans.index


def test_a_way_station_keeps_nothing():
    plans = planner(slots=1, keep=False)
    save = plans.save("a", [1])
    settle(plans, copied={save.job: RANKS})
    settle(plans, stored={save.job: RANKS})
    (job,) = load(plans, "b")
    settle(plans, loaded={job.job: RANKS})
    assert len(plans.index) == 0
    assert plans.index.room == 1


def test_reports_of_ranks_add_up():
    total = Report(loaded={1: 1}, copied={2: 1}, failed={1})
    total.add(Report(loaded={1: 1, 3: 1}, stored={2: 1}, failed={3}))
    assert total == Report({1: 2, 3: 1}, {2: 1}, {2: 1}, {1, 3})
    assert total
    assert not Report()


def test_a_short_load_overtakes_a_long_one_but_not_for_ever():
    plans = planner(slots=20)
    long = load(plans, *(f"long{i}" for i in range(6)))
    turns = []
    for i in range(8):
        (short,) = load(plans, f"short{i}")
        turns.append(short.priority)
        settle(plans, loaded={short.job: RANKS})
    assert {job.priority for job in long} == {6}
    assert turns[0] < 6 < turns[-1]


def load_next(planner, reservation, *keys):
    return planner.load_next(reservation, [Placement(key, (1,)) for key in keys])


def test_a_promise_keeps_its_room_from_saves_loads_and_what_leaves():
    plans = write_back(slots=4, margin=4)
    hold(plans, "a")
    reservation = plans.reserve("abcd")
    assert plans.room == 0
    assert plans.save("x", (1,)) is None
    assert load(plans, "x") == []
    assert plans.loadable("x", {"x"}) == 0
    assert plans.plan_puts() == []
    assert [job.fetch for job in load_next(plans, reservation, *"ab")] == [False, True]
    assert plans.room == 0
    assert [job.fetch for job in load_next(plans, reservation, *"cd")] == [True, True]
    assert reservation.left == 0


def test_a_promise_pins_what_is_held():
    plans = planner(slots=2)
    hold(plans, "a", "b")
    reservation = plans.reserve("ab")
    assert plans.room == 0
    reservation.release()
    assert plans.room == 2


def test_a_promise_is_as_long_as_there_is_room():
    plans = planner(slots=3)
    hold(plans, "x")
    assert len(plans.reserve("abx").slots) == 3
    assert plans.room == 0
    assert plans.reserve("cx").slots == []


def test_what_is_let_go_is_room_again():
    plans = planner(slots=4)
    reservation = plans.reserve("abcd")
    jobs = load_next(plans, reservation, "a")
    reservation.release()
    assert plans.room == 3
    settle(plans, loaded={job.job: RANKS for job in jobs})
    assert plans.room == 4


def test_what_came_meanwhile_is_not_fetched():
    plans = planner()
    reservation = plans.reserve("a")
    saved(plans, "a")
    assert [job.fetch for job in load_next(plans, reservation, "a")] == [False]


def test_a_promised_chunk_whose_bytes_never_came_is_fetched():
    plans = planner(slots=2)
    save = plans.save("a", (1,))
    reservation = plans.reserve("a")
    settle(plans, copied={save.job: RANKS}, failed={save.job}, stored={save.job: RANKS})
    (job,) = load_next(plans, reservation, "a")
    assert job.fetch
    settle(plans, loaded={job.job: RANKS})
    assert plans.room == 2


def test_a_load_waits_for_a_slot_and_gets_it():
    plans = planner(slots=1)
    save = plans.save("a", (1,))
    first, second = plans.reserve("a"), plans.reserve("a")
    settle(plans, copied={save.job: RANKS}, failed={save.job}, stored={save.job: RANKS})
    assert load_next(plans, first, "a") == []
    (job,) = load_next(plans, second, "a")
    (other,) = load_next(plans, first, "a")
    assert (job.fetch, other.fetch) == (True, False)
    settle(plans, loaded={job.job: RANKS, other.job: RANKS})
    assert plans.room == 1


def test_a_fetch_is_shared_until_it_has_ended():
    plans = planner()
    (fetch,) = load(plans, "a")
    assert plans.reserve("a").is_shared
    assert not plans.reserve("b").is_shared
    settle(plans, loaded={fetch.job: RANKS})
    assert not plans.reserve("a").is_shared


def saved(plans, *keys):
    """Save chunks, and let the copies end."""
    jobs = [plans.save(key, (1,)) for key in keys]
    settle(plans, copied={job.job: RANKS for job in jobs if job})
    return jobs


def write_back(slots=4, margin=1):
    return Planner(Index(slots, "lru"), ranks=RANKS, keep=True, put=True, margin=margin)


def test_written_back_is_what_leaves_and_no_store_has():
    plans = write_back()
    assert [job.put for job in saved(plans, "a", "b", "c")] == [False] * 3
    assert plans.plan_puts() == []  # one slot is free
    hold(plans, "fetched")
    (put,) = plans.plan_puts()
    assert put.key == "a"
    assert plans.plan_puts() == []  # its slot is as good as free
    assert "a" not in plans.index
    assert plans.index.room == 3
    settle(plans, stored={put.job: RANKS})
    assert plans.index.free == 1
    saved(plans, "d")
    assert [put.key for put in plans.plan_puts()] == ["b"]


def test_what_the_store_gave_is_not_written_back():
    plans = write_back()
    hold(plans, "a", "b", "c", "d")
    assert plans.plan_puts() == []
    assert plans.index.free == 1


def test_what_has_to_leave_at_once_is_lost_and_counted():
    plans = write_back()
    saved(plans, "a", "b", "c", "d")
    saved(plans, "e")
    assert (plans.take_lost(), plans.take_lost()) == (1, 0)


def test_a_copy_that_failed_is_not_written_back():
    plans = write_back()
    save = plans.save("a", (1,))
    settle(plans, copied={save.job: RANKS}, failed={save.job})
    assert plans.flush(9) == []


def test_at_the_end_all_that_is_left_is_put():
    plans = write_back()
    saved(plans, "a", "b")
    hold(plans, "fetched")
    assert [put.key for put in plans.flush(1)] == ["a"]
    assert [put.key for put in plans.flush(9)] == ["b"]
    assert plans.flush(9) == []
    assert plans.is_putting


def test_what_is_unlikely_to_come_again_is_not_written_back():
    put = {}
    for chance in (0.0, 0.05):
        index = Index(40, "learned")
        plans = Planner(index, ranks=1, keep=True, put=True, margin=4, admit_chance=chance)
        put[chance] = 0
        for number in range(2000):
            keys = [f"{number}.{i}" for i in range(4)]
            index.note_request(keys)
            for key in keys:
                plans.settle(Report(copied={plans.save(key, [0]).job: 1}))
            jobs = plans.plan_puts()
            put[chance] += len(jobs)
            plans.settle(Report(stored={job.job: 1 for job in jobs}))
            assert index.free >= 4
    assert put[0.0] == 8000 - len(index)
    assert put[0.05] < 0.2 * put[0.0]


def saved_and_put(planner, *keys):
    """Save ``keys`` to their end; returns the jobs."""
    jobs = planner.save_all([Placement(key, (i,)) for i, key in enumerate(keys)])
    ended = {job.job: RANKS for job in jobs}
    settle(planner, copied=ended, stored={job.job: RANKS for job in jobs if job.put})
    return jobs


def test_what_a_request_has_again_is_offered_again_and_stays():
    plans = planner()
    (first, _) = saved_and_put(plans, "a", "b")
    assert plans.plan_puts() == []
    plans.touch(["a", "x"])
    (put,) = plans.plan_puts()
    assert (put.key, put.slot) == ("a", first.slot)
    assert plans.is_putting
    assert plans.index.room == 3  # pinned meanwhile
    plans.touch(["a"])
    assert plans.plan_puts() == []  # not so soon
    settle(plans, stored={put.job: RANKS})
    assert not plans.is_putting
    assert plans.index.room == 4
    assert "a" in plans.index


def test_only_some_are_offered_again_at_once():
    keys = [f"k{i}" for i in range(20)]
    plans = planner(slots=20)
    saved_and_put(plans, *keys)
    plans.touch(keys)
    first = plans.plan_puts()
    assert len(first) < 10
    assert plans.plan_puts() == []
    settle(plans, stored={put.job: RANKS for put in first})
    second = plans.plan_puts()
    assert [put.key for put in (*first, *second)] == keys[: len(first) + len(second)]
    assert second


def test_what_is_on_its_way_in_or_gone_is_not_offered_again():
    plans = planner(slots=2)
    (job,) = load(plans, "a")
    plans.touch(["a"])
    saved_and_put(plans, "b")
    plans.touch(["b"])
    plans.index.forget(*plans.index.find_all("b"))
    assert plans.plan_puts() == []
    settle(plans, loaded={job.job: RANKS})


def test_what_is_being_copied_out_is_not_offered_again():
    """Another request has the chunk in the step that saves it: the slot holds other bytes still."""
    plans = planner()
    (job,) = plans.save_all([Placement("a", (0,))])
    plans.touch(["a"])
    assert plans.plan_puts() == []
    settle(plans, copied={job.job: RANKS}, stored={job.job: RANKS})


def test_without_a_store_nothing_is_offered_again():
    plans = planner(put=False)
    saved_and_put(plans, "a")
    plans.touch(["a"])
    assert plans.plan_puts() == []


def test_what_is_written_back_later_is_not_offered_now_nor_counted_as_leaving():
    plans = write_back(margin=1)
    hold(plans, "f")
    plans._puts._reoffer.saved(plans.index.find_all("f"))  # so that it is due
    saved_and_put(plans, "a", "b")
    plans.touch(["f", "a"])
    assert [job.key for job in plans.plan_puts()] == ["f"]
    saved_and_put(plans, "c")
    assert [job.key for job in plans.plan_puts()] == ["a"]
