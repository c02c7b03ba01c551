"""Windows and states are saved in the step that computes them, where a later request may continue."""

from __future__ import annotations

import pytest

from kvtransfer.chunks.keys import group_of, piece_key
from kvtransfer.requests.step import StepInput
from tests.requests.engine import copied, keys, saved
from tests.requests.group_engine import FULL, NULL, STATE, GroupEngine, window

PROMPT = list(range(100, 129))
"""Three chunks and a rest of five tokens."""
A, B, C = keys(PROMPT)


def of_group(plan, group):
    return [save for save in plan.jobs.saves if group_of(save.key) == group]


def answer(engine, request, tokens):
    """``tokens`` steps of one token each; what each of them saves."""
    return [saved(engine.run((request, 1))) for _ in after(request, tokens)]


def after(request, tokens):
    """Yield after each of ``tokens`` that the request has got."""
    for _ in range(tokens):
        request.all_token_ids.append(7)
        yield


def test_a_window_is_saved_where_the_prompts_last_whole_chunk_ends():
    engine = GroupEngine(FULL, window(12))
    request = engine.come("r", PROMPT)
    plan = engine.run((request, len(PROMPT)))
    assert saved(plan) == [f"{B}-1", f"{C}-1", A, B, C]  # tokens 13 to 23 are read behind 24
    table = engine.tables["r"][1]
    assert [save.block_ids for save in of_group(plan, 1)] == [tuple(table[2:4]), tuple(table[4:6])]


def test_a_window_shorter_than_a_chunk_is_saved_to_its_length():
    engine = GroupEngine(window(4), FULL)
    plan = engine.run((engine.come("r", PROMPT), len(PROMPT)))
    assert [(save.key, save.block_ids) for save in of_group(plan, 0)] == [
        (C, (engine.tables["r"][0][5],))
    ]
    assert saved(plan)[1:] == [piece_key(key, 1) for key in (A, B, C)]


def test_a_prompt_of_whole_chunks_is_saved_one_chunk_before_its_end():
    """A request never loads its last token, and who repeats the prompt needs that state."""
    engine = GroupEngine(FULL, STATE, saves_decode=False)
    request = engine.come("r", PROMPT[:24])
    first, second = engine.run((request, 16)), engine.run((request, 8))
    assert saved(first) == [f"{B}-1", A, B]
    assert saved(second) == [C]


def test_answers_are_saved_at_the_ends_of_chunks():
    engine = GroupEngine(FULL, window(12), STATE)
    request = engine.come("r", PROMPT)
    engine.run((request, 24))
    engine.run((request, 5))
    steps = answer(engine, request, 12)
    d, e = keys(request.all_token_ids)[3:5]
    assert [(i, found) for i, found in enumerate(steps) if found] == [
        (2, [f"{d}-1", f"{d}-2", d]),
        (10, [f"{e}-1", f"{e}-2", e]),
    ]


def test_only_prompts_are_saved_when_so_configured():
    engine = GroupEngine(FULL, window(12), STATE, saves_decode=False)
    request = engine.come("r", PROMPT)
    engine.run((request, len(PROMPT)))
    assert answer(engine, request, 12) == [[]] * 12


def test_a_state_is_saved_only_where_a_step_ends():
    engine = GroupEngine(FULL, STATE)
    whole = engine.run((engine.come("r", PROMPT), len(PROMPT)))
    assert saved(whole) == [A, B, C]
    engine = GroupEngine(FULL, STATE)
    request = engine.come("r", PROMPT)
    steps = [engine.run((request, tokens)) for tokens in (16, 8, 5)]
    assert [saved(plan) for plan in steps] == [[A, B], [f"{C}-1", C], []]
    (state,) = of_group(steps[1], 1)
    assert state.block_ids == (engine.tables["r"][1][2],)


def test_null_blocks_are_never_saved():
    """Behind 22 tokens a window of 10 has lost block 2, of which chunk 1 would need both blocks."""
    engine = GroupEngine(FULL, window(10))
    request = engine.come("r", PROMPT)
    engine.run((request, 22))
    plan = engine.run((request, 7))
    assert engine.tables["r"][1][:4] == [NULL, NULL, NULL, engine.tables["r"][1][3]]
    assert saved(plan) == [f"{C}-1", C]
    assert not any(NULL in save.block_ids for save in plan.jobs.saves)


def test_tables_are_asked_for_only_where_there_is_something_to_save():
    """The engine makes them up anew for each request that asks."""
    engine = GroupEngine(FULL, window(12), saves_decode=False)
    request = engine.come("r", PROMPT)
    asked = []
    engine.table = lambda name: asked.append(name) or GroupEngine.table(engine, name)
    for tokens, times in ((10, 0), (10, 0), (9, 1)):
        engine.run((request, tokens))
        assert len(asked) == times


def test_what_is_held_is_not_saved_again():
    engine = GroupEngine(FULL, window(12))
    engine.keep(engine.run((engine.come("r", PROMPT), len(PROMPT))))
    again = engine.request("s", PROMPT)
    engine.begin(again)
    assert saved(engine.run((again, len(PROMPT)))) == []


@pytest.mark.parametrize("copied_in_time", [True, False])
def test_blocks_that_a_window_has_freed_are_written_once_they_are_copied(copied_in_time):
    engine = GroupEngine(FULL, window(4))
    request, other = engine.come("r", PROMPT), engine.come("s", PROMPT[::-1])
    plan = engine.run((request, 25))
    (piece,) = of_group(plan, 1)
    request.all_token_ids.append(7)
    plans = [engine.run((request, 4)), engine.run((request, 1))]
    assert set(piece.block_ids) <= set(engine.freed)
    assert not any(plan.reuses_blocks for plan in plans)
    if copied_in_time:
        engine.keep(plan)
    assert engine.run((other, 12)).reuses_blocks != copied_in_time


def test_tokens_are_counted_once_a_chunk():
    engine = GroupEngine(window(12), FULL, STATE)
    request = engine.come("r", PROMPT)
    engine.keep(engine.run((request, 24)))
    assert engine.side.counted()["saved_tokens"] == 24


def test_no_room_is_counted_and_no_harm():
    engine = GroupEngine(FULL, window(12), slots=1)
    plan = engine.run((engine.come("r", PROMPT), len(PROMPT)))
    assert saved(plan) == [f"{B}-1"]
    assert engine.side.counted() == {"save_skipped_chunks": 4}


def test_an_engine_that_plans_ahead_tells_the_last_token_of_a_chunk_a_step_late():
    engine = GroupEngine(FULL, window(12), STATE)
    request = engine.come("r", PROMPT)
    engine.run((request, 24))
    engine.run((request, 5))
    plans = [engine.run((request, 1)), *(engine.run((request, 1)) for _ in after(request, 2))]
    assert saved(*plans) == []
    state = engine.tables["r"][2][3]
    request.all_token_ids.append(7)
    plan = engine.run((request, 1))
    (d,) = keys(request.all_token_ids)[3:]
    assert saved(plan) == [f"{d}-1", f"{d}-2", d]
    assert [save.block_ids for save in of_group(plan, 2)] == [(state,)]
    assert [saved(engine.run((request, 1))) for _ in after(request, 2)] == [[], []]


def test_drafts_leave_no_state_that_is_the_tokens():
    """The state of a step with drafts is that of its last draft, accepted or not."""
    engine = GroupEngine(FULL, window(12), STATE)
    request = engine.come("r", PROMPT)
    engine.run((request, 24))
    engine.run((request, 5))
    request.all_token_ids += [7, 7, 7]
    (d,) = keys(request.all_token_ids)[3:]
    assert saved(engine.run((request, 3), drafts=2)) == [f"{d}-1", d]
    request.all_token_ids.append(7)
    assert saved(engine.run((request, 1), drafts=2)) == []


def test_drafts_that_were_accepted_up_to_a_chunks_end_leave_no_state_either():
    engine = GroupEngine(FULL, window(12), STATE)
    request = engine.come("r", PROMPT)
    engine.run((request, 24))
    engine.run((request, 5))
    request.all_token_ids.append(7)
    assert saved(engine.run((request, 3))) == []  # a token and two drafts, both accepted
    request.all_token_ids += [7, 7, 7]
    (d,) = keys(request.all_token_ids)[3:]
    assert saved(engine.run((request, 1), drafts=2)) == [f"{d}-1", d]


@pytest.mark.parametrize("weights", ["those at start", "others"])
def test_what_a_step_computes_while_the_weights_are_being_read_is_not_saved_later(weights):
    engine = GroupEngine(FULL, window(12))
    request = engine.come("r", PROMPT)
    engine.side.reset()
    engine.weights = weights
    assert saved(engine.run((request, len(PROMPT)))) == []
    engine.side.finish(request, owns_blocks=True)
    del engine.tables["r"]
    assert not any(group_of(key) for key in saved(engine.plan(StepInput(tables=engine.table))))


def test_a_preempted_request_saves_what_is_left_from_its_new_blocks():
    engine = GroupEngine(FULL, window(12))
    request = engine.come("r", PROMPT)
    first = engine.run((request, 10))
    assert saved(first) == [A]
    assert engine.match(request, 0) == 0  # no window of it was saved
    engine.begin(request)
    plan = engine.run((request, len(PROMPT)))
    assert saved(plan) == [f"{B}-1", f"{C}-1", B, C]
    table = engine.tables["r"][1]
    assert of_group(plan, 1)[0].block_ids == tuple(table[2:4])


def test_the_copies_of_a_request_that_has_ended_are_awaited():
    engine = GroupEngine(FULL, window(12))
    request = engine.come("r", PROMPT)
    plan = engine.run((request, len(PROMPT)))
    engine.side.finish(request, owns_blocks=True)
    assert engine.side.is_saving
    engine.side.take(copied(plan.jobs.saves))
    assert not engine.side.is_saving


def test_blocks_that_the_engine_takes_back_are_kept_until_they_are_copied():
    engine = GroupEngine(FULL, window(12), STATE)
    request = engine.come("r", PROMPT)
    plan = engine.run((request, 24))
    passing = [save for group in (1, 2) for save in of_group(plan, group)]
    assert engine.pinned == {save.job: save.block_ids for save in passing}
    engine.keep(plan)
    assert not engine.pinned


def test_a_chunk_that_ends_among_drafted_tokens_is_saved_of_a_window_once_they_are_known():
    engine = GroupEngine(FULL, window(12))
    request = engine.come("r", PROMPT)
    engine.run((request, len(PROMPT)))
    request.all_token_ids += [7, 7]  # 31 are known, of which 29 are computed
    first = engine.run((request, 2), drafts=2)
    request.all_token_ids += [7, 7, 7]  # two drafts were accepted
    engine.computed["r"] += 2
    second = engine.run((request, 1), drafts=2)
    (d,) = keys(request.all_token_ids)[3:]
    assert of_group(first, 1) == []
    assert [save.key for save in of_group(second, 1)] == [f"{d}-1"]
