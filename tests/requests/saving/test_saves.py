"""Whole chunks are saved once, some in each step."""

from __future__ import annotations

import pytest

from tests.requests.engine import LONG, TOKENS, Engine, copied, keys, saved


def test_whole_chunks_are_saved_once(engine):
    request, ids, plan = engine.prefill("r", TOKENS)
    assert [(s.key, s.block_ids) for s in plan.jobs.saves] == [
        (keys(TOKENS)[0], tuple(ids[:2])),
        (keys(TOKENS)[1], tuple(ids[2:4])),
    ]
    again = engine.step(cached=[(request, [], len(TOKENS), 1)])
    assert again.jobs.saves == ()
    _, _, other = engine.prefill("s", TOKENS, local=16)
    assert other.jobs.saves == ()


def test_a_chunk_is_saved_when_its_last_token_is_computed(engine):
    request = engine.request("r", TOKENS)
    ids = engine.blocks(len(TOKENS))
    engine.match(request, 0)
    engine.admit(request, ids[:2], 0)
    assert len(engine.step(new=[(request, ids[:2], 0, 7)]).jobs.saves) == 0
    assert len(engine.step(cached=[(request, [], 7, 1)]).jobs.saves) == 1
    assert len(engine.step(cached=[(request, ids[2:], 8, 13)]).jobs.saves) == 1


def test_generated_tokens_are_saved_but_drafted_ones_not(engine):
    request, _, _ = engine.prefill("r", TOKENS[:15])
    request.all_token_ids.append(1)  # the 16th token, computed in the next step
    plan = engine.step(cached=[(request, [], 15, 5)])  # and four drafted ones
    assert [save.key for save in plan.jobs.saves] == [keys([*TOKENS[:15], 1])[1]]
    request.all_token_ids += [2, 3]
    assert engine.step(cached=[(request, engine.blocks(8), 18, 7)]).jobs.saves == ()


def test_prompts_only_when_so_configured():
    engine = Engine(saves_decode=False)
    request, _, plan = engine.prefill("r", TOKENS[:15])
    assert len(plan.jobs.saves) == 1
    request.all_token_ids.append(1)
    assert engine.step(cached=[(request, [], 15, 1)]).jobs.saves == ()


def test_no_room_for_a_save_is_counted_and_no_harm(engine):
    engine = Engine(slots=1)
    _, _, plan = engine.prefill("r", TOKENS)
    assert len(plan.jobs.saves) == 1
    assert engine.side.counted() == {"save_skipped_chunks": 1}


@pytest.mark.usefixtures("few_a_step")
def test_what_a_step_has_no_time_for_is_saved_in_the_next_ones(engine):
    request, ids, first = engine.prefill("r", LONG)
    then = [engine.step(cached=[(request, [], len(LONG), 1)]) for _ in range(3)]
    assert [len(plan.jobs.saves) for plan in (first, *then)] == [2, 2, 2, 0]
    assert saved(first, *then) == keys(LONG)
    assert [
        block for plan in (first, *then) for s in plan.jobs.saves for block in s.block_ids
    ] == ids[:12]


def test_the_more_wait_the_more_a_step_saves(engine, monkeypatch):
    monkeypatch.setattr("kvtransfer.requests.saving.saves._A_STEP", 1)
    request, _, first = engine.prefill("r", range(8 * 8))
    then = [engine.step(cached=[(request, [], 8 * 8, 1)]) for _ in range(6)]
    assert [len(plan.jobs.saves) for plan in (first, *then)] == [2, 1, 1, 1, 1, 1, 1]


@pytest.mark.usefixtures("few_a_step")
def test_nothing_more_is_saved_of_a_request_that_is_not_scheduled(engine):
    request, _, _ = engine.prefill("r", LONG)
    _, _, plan = engine.prefill("s", range(8))
    assert saved(plan) == keys(range(8))
    assert 0 < engine.step().poll_s < 0.01
    assert saved(engine.step(cached=[(request, [], len(LONG), 1)])) == keys(LONG)[2:4]


@pytest.mark.usefixtures("few_a_step")
@pytest.mark.parametrize("as_new", [True, False])
def test_a_preempted_request_saves_the_rest_from_the_blocks_it_gets_then(engine, as_new):
    request, old, _ = engine.prefill("r", LONG)
    assert engine.match(request, 0) == 16  # what it has saved
    own = engine.blocks(32)
    engine.admit(request, own, 0)
    assert engine.step().jobs.saves == ()
    part = (request, own, 16, 16)
    plan = engine.step(new=[part]) if as_new else engine.step(cached=[part], resumed=[request])
    assert [(s.key, s.block_ids) for s in plan.jobs.saves] == [
        (keys(LONG)[2], tuple(own[4:6])),
        (keys(LONG)[3], tuple(own[6:8])),
    ]
    assert not set(own) & set(old)
    assert engine.step(cached=[(request, [], 32, 1)]).jobs.saves == ()  # no more than is computed


def test_a_shared_prefix_is_read_not_written(engine):
    _, ids, _ = engine.prefill("r", TOKENS)
    other = engine.request("s", [*TOKENS[:16], 1, 2])
    engine.match(other, 16)
    own = [*ids[:4], *engine.blocks(2)]
    engine.admit(other, own, 0)
    assert not engine.step(new=[(other, own, 16, 2)]).reuses_blocks


@pytest.mark.usefixtures("few_a_step")
def test_the_engine_does_not_step_for_what_there_is_no_slot_for():
    engine = Engine(slots=2)
    request, _, plan = engine.prefill("r", LONG)
    engine.side.finish(request, owns_blocks=True)
    assert saved(engine.step(), engine.step()) == []
    engine.side.take(copied(plan.jobs.saves))
    assert not engine.side.is_saving
