"""Chunks that ended requests have left are saved before their blocks are written."""

from __future__ import annotations

import pytest

from kvtransfer.plan import Report
from tests.requests.engine import LONG, TOKENS, copied, keys, saved


def test_the_engine_steps_until_the_copies_of_a_finished_request_are_done(engine):
    request, _, plan = engine.prefill("r", TOKENS)
    engine.side.finish(request, owns_blocks=True)
    first, second = plan.jobs.saves
    engine.side.take(Report(copied={first.job: 1}))
    assert engine.side.is_saving
    engine.side.take(Report(copied={second.job: 1}))
    assert not engine.side.is_saving
    engine.side.take(Report(stored={first.job: 1, second.job: 1}))
    assert engine.planner.index.room == 8


def test_blocks_still_being_copied_are_not_written_before(engine):
    request, ids, plan = engine.prefill("r", TOKENS)
    other = engine.request("s", range(8))
    engine.match(other, 0)
    engine.admit(other, ids[:2], 0)  # preempted: its blocks are given to another
    rewriting = engine.step(new=[(other, ids[:2], 0, 8)])
    assert rewriting.reuses_blocks
    engine.side.take(
        Report(copied={save.job: 1 for save in (*plan.jobs.saves, *rewriting.jobs.saves)})
    )
    assert not engine.step(cached=[(request, ids, 0, 8)], resumed=[request]).reuses_blocks


def test_a_load_does_not_write_into_them_either(engine):
    _, ids, _ = engine.prefill("r", TOKENS)
    engine.store(range(16))
    other = engine.request("s", range(16))
    assert engine.match(other, 0) == 16
    engine.admit(other, ids[:4], 16)
    assert engine.step().reuses_blocks


@pytest.mark.usefixtures("few_a_step")
def test_what_a_finished_request_has_left_is_saved_by_the_next_steps(engine):
    request, _, plan = engine.prefill("r", LONG)
    engine.side.finish(request, owns_blocks=True)
    engine.side.take(copied(plan.jobs.saves))
    assert engine.side.is_saving
    second, third = engine.step(), engine.step()
    assert saved(plan, second, third) == keys(LONG)
    engine.side.take(copied([*second.jobs.saves, *third.jobs.saves]))
    assert not engine.side.is_saving
    assert engine.step().jobs.saves == ()


@pytest.mark.usefixtures("few_a_step")
def test_what_a_finished_request_has_left_is_saved_before_its_blocks_are_written(engine):
    request, ids, plan = engine.prefill("r", LONG)
    engine.side.finish(request, owns_blocks=True)
    other = engine.request("s", range(8))
    engine.match(other, 0)
    engine.admit(other, ids[10:12], 0)  # they are vLLM's again
    rewriting = engine.step(new=[(other, ids[10:12], 0, 8)])
    assert rewriting.reuses_blocks
    assert [save.key for save in rewriting.first_saves] == keys(LONG)[2:]
    assert saved(rewriting) == keys(range(8))
    engine.side.take(copied([*plan.jobs.saves, *rewriting.first_saves, *rewriting.jobs.saves]))
    assert not engine.side.is_saving


@pytest.mark.usefixtures("few_a_step")
def test_a_load_of_another_connector_does_not_write_into_them_either(engine):
    request, ids, _ = engine.prefill("r", LONG)
    engine.side.finish(request, owns_blocks=True)
    other = engine.request("s", range(16))
    engine.match(other, 0)
    engine.admit(other, ids[8:12], 0)  # it is not scheduled before the other one has loaded it
    assert [save.key for save in engine.step().first_saves] == keys(LONG)[2:]


@pytest.mark.usefixtures("few_a_step")
def test_a_name_may_come_again_before_all_is_saved(engine):
    request, _, plan = engine.prefill("r", LONG)
    engine.side.finish(request, owns_blocks=True)
    again, _, other = engine.prefill("r", range(40))
    assert saved(other) == keys(LONG)[2:4]
    engine.side.finish(again, owns_blocks=True)
    assert saved(plan, other, *(engine.step() for _ in range(3)))[:6] == keys(LONG)


@pytest.mark.usefixtures("few_a_step")
def test_all_that_is_left_can_be_had_without_a_step(engine):
    request, _, plan = engine.prefill("r", LONG)
    running, _, _ = engine.prefill("s", range(8))
    engine.side.finish(request, owns_blocks=True)
    assert saved(plan) + [save.key for save in engine.side.rest()] == keys(LONG)
    assert not engine.side.rest()
    assert engine.step(cached=[(running, [], 8, 1)]).jobs.saves == ()


@pytest.mark.usefixtures("few_a_step")
def test_a_request_that_ends_while_it_is_preempted_has_nothing_to_save(engine):
    request, _, plan = engine.prefill("r", LONG)
    engine.side.take(copied(plan.jobs.saves))
    engine.side.finish(request, owns_blocks=False)
    assert engine.step().jobs.saves == ()
    assert not engine.side.is_saving
