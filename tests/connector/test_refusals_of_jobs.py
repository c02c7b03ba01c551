"""Jobs that a worker refuses, and those that rest on what these would have brought."""

from __future__ import annotations

from kvtransfer.connector.refusals import Refusals
from kvtransfer.plan import Load, Put, Report, Save

KEY = "a" * 32


def everything(_):
    return True


def nothing(_):
    return False


def test_what_was_planned_for_others_is_refused_and_reported_once():
    refusals = Refusals()
    assert refusals.accept([Load(0, KEY, 0, True, (1,))], everything) == ()
    assert refusals.accept([Save(1, KEY, 1, (2,)), Save(2, KEY, 2, (3,), False)], everything) == ()
    assert refusals.take() == Report({0: 1}, {1: 1, 2: 1}, {1: 1}, {0, 1, 2})
    assert refusals.take() == Report()


def test_a_put_or_load_of_what_a_refused_job_would_have_brought_is_refused():
    refusals = Refusals()
    refusals.accept([Save(0, KEY, 3, (1,))], everything)
    refusals.take()
    put, load = Put(1, KEY, 3), Load(2, KEY, 3, False, (4,))
    assert refusals.accept([put], nothing) == refusals.accept([load], nothing) == ()
    assert refusals.take() == Report({2: 1}, {}, {1: 1}, {2})


def test_a_slot_that_is_filled_since_is_good_again():
    refusals = Refusals()
    refusals.accept([Load(0, KEY, 3, True, (1,))], everything)
    jobs = [Load(1, "b" * 32, 3, True, (1,)), Load(2, "b" * 32, 3, False, (5,))]
    assert refusals.accept(jobs, nothing) == tuple(jobs)


def test_of_one_step_the_sharer_of_a_refused_fetch_is_refused_too():
    refusals = Refusals()
    jobs = [Load(0, KEY, 3, True, (1,)), Load(1, KEY, 3, False, (2,))]
    assert refusals.accept(jobs, {0}.__contains__) == ()
    assert refusals.take().failed == {0, 1}
