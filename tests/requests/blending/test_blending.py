"""Passages are reused anywhere in a prompt: moved, the gaps computed, then the request goes on."""

from __future__ import annotations

import pytest

from kvtransfer.passages.recompute import First
from kvtransfer.plan import Report
from kvtransfer.requests.blending.wish import Wish
from tests.requests.engine import BLOCK, CHUNK, Engine, ended, keys

PASSAGE = list(range(1000, 1120))
OTHER = list(range(2000, 2088))
NEW = list(range(3000, 3021))
END = [9, 9, 9]


class Wishes:
    """Blends the requests whose names begin with ``b``."""

    are_possible = True

    def __init__(self, wish):
        self.wish = wish

    def of(self, state):
        return self.wish if state.request_id.startswith("b") else None


@pytest.fixture
def engine():
    return Engine(slots=64, wishes=Wishes(Wish(First(5))))


def begun(engine, tokens, name="b", local=0):
    """A request is matched and admitted; returns it, its spans, its blocks and the step's plan."""
    request = engine.request(name, tokens)
    spans = engine.side.match(request, local)
    external = sum(span.tokens for span in spans)
    ids = engine.blocks(local + external)
    engine.admit(request, ids, external)
    return request, spans, ids, engine.step()


def moved(plan):
    """How many tokens of the prompt are moved, by the first of each move."""
    return {move.target_position: move.tokens for load in plan.jobs.loads for move in load.moves}


def run(engine, plan):
    """The loads of ``plan`` end; returns the gap jobs that follow."""
    engine.side.take(ended(plan.jobs.loads))
    return engine.step().gap_jobs


def drop(engine, *gone):
    """Host memory holds these chunks no more."""
    for slot in engine.planner.index.find_all(gone):
        engine.planner.index.forget(slot)


def test_a_passage_is_moved_and_the_gaps_are_computed(engine):
    engine.hold(PASSAGE)
    prompt = NEW + PASSAGE + END
    request, spans, ids, plan = begun(engine, prompt)
    (span,) = spans
    assert (span.first_token, span.tokens, span.is_exact) == (0, len(NEW) + 120, False)
    assert sum(moved(plan).values()) == 120 - 5
    assert min(moved(plan)) == len(NEW) + 5
    assert not any(load.block_ids or load.fetch for load in plan.jobs.loads)
    assert plan.gap_jobs == ()
    assert engine.side.take(ended(plan.jobs.loads[1:])) == set()
    assert engine.step().gap_jobs == ()
    assert engine.side.take(ended(plan.jobs.loads[:1])) == set()
    (job,) = engine.step().gap_jobs
    assert job.gaps == ((0, len(NEW) + 5),)
    assert job.token_ids == tuple(prompt[: len(NEW) + 5])
    assert job.block_ids == tuple(ids)
    assert engine.step().gap_jobs == ()
    assert engine.side.take(Report(computed={job.job: 1})) == {"b"}
    outcome = engine.side.served(request).blended
    assert (outcome.reused_tokens, outcome.gap_tokens, outcome.has_failed) == (115, 26, False)
    assert outcome.loaded_from == {"host": 115}


def test_moves_write_the_blocks_in_which_the_tokens_stand(engine):
    engine.hold(PASSAGE)
    _, _, ids, plan = begun(engine, NEW + PASSAGE + END)
    for load in plan.jobs.loads:
        for move in load.moves:
            first = move.target_position // BLOCK
            end = -(-(move.target_position + move.tokens) // BLOCK)
            assert move.block_ids == tuple(ids[first:end])
            assert move.block_token == move.target_position % BLOCK
            assert move.target_position - move.source_position == len(NEW)
            assert keys(PASSAGE)[move.source_position // CHUNK] == load.key


def test_nothing_of_a_blended_request_is_saved_or_found(engine):
    engine.hold(PASSAGE)
    prompt = NEW + PASSAGE + END
    request, _, ids, plan = begun(engine, prompt)
    (job,) = run(engine, plan)
    engine.side.take(Report(computed={job.job: 1}))
    more = engine.blocks(len(prompt) - len(ids) * BLOCK + 40)
    plan = engine.step(new=[(request, ids + more, len(ids) * BLOCK, 4)])
    request.all_token_ids += [7] * 40
    plans = [plan, engine.step(cached=[(request, [], len(prompt), 40)])]
    engine.side.finish(request, owns_blocks=True)
    plans.append(engine.step())
    assert not any(each.jobs.saves or each.first_saves for each in plans)
    _, spans, _, _ = begun(engine, prompt, "plain")
    assert spans == ()


def test_an_exact_prefix_is_loaded_as_ever_and_passages_behind_it(engine):
    engine.hold(OTHER)
    engine.hold(PASSAGE)
    _, (exact, span), ids, plan = begun(engine, OTHER + PASSAGE + END, local=16)
    assert (exact.first_token, exact.tokens, exact.is_exact) == (16, len(OTHER) - 16, True)
    assert (span.first_token, span.tokens, span.is_exact) == (len(OTHER), 120, False)
    whole = [load for load in plan.jobs.loads if load.block_ids]
    assert [load.key for load in whole] == keys(OTHER)[2:]
    assert [block for load in whole for block in load.block_ids] == ids[4 : len(OTHER) // BLOCK]
    (job,) = run(engine, plan)
    assert job.gaps == ((len(OTHER), len(OTHER) + 5),)


def test_a_passage_that_repeats_the_prefix_is_read_from_the_same_chunks(engine):
    engine.hold(OTHER)
    _, _, _, plan = begun(engine, OTHER + NEW + OTHER + END)
    loads = {load.key: load for load in plan.jobs.loads}
    assert len(loads) == len(plan.jobs.loads) == len(keys(OTHER))
    assert all(load.block_ids and load.moves for load in plan.jobs.loads)


def test_what_continues_an_exact_prefix_is_not_computed_anew(engine):
    engine.hold(PASSAGE + OTHER)
    drop(engine, keys(PASSAGE)[-1])
    _, (exact, _), _, plan = begun(engine, PASSAGE + OTHER + END)
    assert exact.tokens == 112
    assert min(moved(plan)) == 120
    (job,) = run(engine, plan)
    assert job.gaps == ((112, 120),)


def test_without_a_wish_and_for_other_weights_nothing_is_reused(engine):
    engine.hold(PASSAGE)
    _, spans, _, plan = begun(engine, NEW + PASSAGE + END, "plain")
    assert spans == plan.jobs.loads == ()
    engine.weights = "others"
    engine.step()
    _, spans, _, _ = begun(engine, NEW + PASSAGE + END)
    assert spans == ()


@pytest.mark.parametrize("failing", [0, 3])
def test_a_copy_that_fails_voids_all_behind_the_exact_prefix(engine, failing):
    engine.hold(OTHER)
    engine.hold(PASSAGE)
    request, _, ids, plan = begun(engine, OTHER + PASSAGE + END)
    moves = [load for load in plan.jobs.loads if load.moves]
    assert engine.side.take(ended(plan.jobs.loads, [moves[failing]])) == set()
    plan = engine.step()
    ((job, blocks),) = plan.voided_blocks.items()
    assert blocks == tuple(ids[len(OTHER) // BLOCK :])
    assert plan.gap_jobs == ()
    assert engine.side.take(Report(), voided=[job]) == {"b"}
    assert engine.side.served(request).blended.has_failed
    assert engine.side.match(request, 0) == ()


def test_gaps_that_fail_void_all_behind_the_exact_prefix(engine):
    engine.hold(PASSAGE)
    _, _, ids, plan = begun(engine, NEW + PASSAGE + END)
    (job,) = run(engine, plan)
    assert engine.side.take(Report(computed={job.job: 1}, failed={job.job})) == set()
    ((void, blocks),) = engine.step().voided_blocks.items()
    assert blocks == tuple(ids)
    assert engine.side.take(Report(), voided=[void]) == {"b"}


@pytest.mark.parametrize("under_way", ["loads", "waiting", "gaps"])
def test_an_aborted_request_is_received_when_nothing_writes_its_blocks(engine, under_way):
    engine.hold(PASSAGE)
    request, _, _, plan = begun(engine, NEW + PASSAGE + END)
    last = ended(plan.jobs.loads)
    if under_way != "loads":
        engine.side.take(last)
        last = Report()
    if under_way == "gaps":
        (job,) = engine.step().gap_jobs
        last = Report(computed={job.job: 1})
    engine.side.finish(request, owns_blocks=True)
    assert engine.step().gap_jobs == ()
    assert engine.side.take(last) == {"b"}
    assert not engine.planner.is_loading


def test_other_weights_void_what_has_come(engine):
    engine.hold(OTHER)
    engine.hold(PASSAGE)
    _, _, ids, plan = begun(engine, OTHER + PASSAGE + END)
    engine.side.take(ended(plan.jobs.loads))
    engine.weights = "others"
    engine.step()
    plan = engine.step()
    voided = [job for job, blocks in plan.voided_blocks.items() if set(blocks) == set(ids)]
    assert len(voided) == 1


def test_long_gaps_are_computed_in_several_steps():
    engine = Engine(slots=64, wishes=Wishes(Wish(First(5))), gap_tokens_a_step=10)
    engine.hold(PASSAGE)
    _, _, _, plan = begun(engine, NEW + PASSAGE + END)
    engine.side.take(ended(plan.jobs.loads))
    jobs = [job for _ in range(4) for job in engine.step().gap_jobs]
    assert [job.gaps for job in jobs] == [((0, 10),), ((10, 20),), ((20, 26),)]
    assert [len(job.token_ids) for job in jobs] == [10, 10, 6]
    received = [engine.side.take(Report(computed={job.job: 1})) for job in jobs]
    assert received == [set(), set(), {"b"}]


def test_passages_in_the_store_are_asked_for_and_fetched(engine):
    engine.hold(PASSAGE)
    drop(engine, *keys(PASSAGE))
    engine.store(PASSAGE)
    engine.lookup.answers = False
    request = engine.request("b", NEW + PASSAGE + END)
    assert engine.side.match(request, 0) is None
    engine.lookup.answers = True
    (span,) = engine.side.match(request, 0)
    ids = engine.blocks(span.tokens)
    engine.admit(request, ids, span.tokens)
    plan = engine.step()
    assert all(load.fetch and load.moves for load in plan.jobs.loads)
    assert len(plan.jobs.loads) == len(keys(PASSAGE))


def test_chunks_that_are_gone_leave_gaps(engine):
    engine.hold(PASSAGE)
    drop(engine, keys(PASSAGE)[-1])
    _, (span,), _, _ = begun(engine, NEW + PASSAGE + END)
    assert span.tokens == len(NEW) + 112


def test_a_second_blend_knows_what_the_first_took(engine):
    engine.compute(1000, 10.0)
    engine.hold(PASSAGE)
    _, _, _, plan = begun(engine, NEW + PASSAGE + END)
    engine.now_s += 100.0
    (job,) = run(engine, plan)
    engine.now_s += 100.0
    engine.side.take(Report(computed={job.job: 1}))
    request = engine.request("b2", NEW[1:] + PASSAGE + END)
    assert len(engine.side.match(request, 0)) == 1  # a refused way is tried once at first
    assert engine.side.match(request, 0) == ()


def test_a_resumed_request_that_has_more_than_its_prompt_reuses_nothing(engine):
    request, _, _, _ = begun(engine, NEW)
    request.all_token_ids += PASSAGE
    assert engine.side.match(request, len(NEW) + 11) == ()


def test_a_new_passage_that_returns_is_saved_once_that_pays(engine):
    engine.hold(PASSAGE)
    engine.hold(OTHER)
    returning = list(range(4000, 4096))
    asked = [returning + PASSAGE + OTHER + [i] * 12 for i in range(4)]
    assert all(begun(engine, prompt, f"b{i}")[1] for i, prompt in enumerate(asked[:2]))
    assert begun(engine, asked[2], "b2")[1] == (), "96 tokens a third time: more than 198 copied"
    assert begun(engine, asked[3], "b3")[1], "one request that saves it is enough"
    engine.hold(asked[2])
    _, _, _, plan = begun(engine, NEW + returning + OTHER + END, "b4")
    assert sum(moved(plan).values()) == len(returning) - 5 + len(OTHER) - 5, "both are known"


def test_new_passages_that_do_not_return_cost_no_reuse(engine):
    engine.hold(PASSAGE)
    for i in range(6):
        new = list(range(5000 + 100 * i, 5080 + 100 * i))
        assert begun(engine, new + PASSAGE + END, f"b{i}")[1]


def test_a_passage_that_is_gone_does_not_hide_the_same_one_elsewhere(engine):
    engine.hold(PASSAGE)
    for i in range(2):
        newer = [80 + i] * CHUNK + PASSAGE
        engine.hold(newer)
        drop(engine, *keys(newer)[3:])
    _, _, _, plan = begun(engine, NEW + PASSAGE + END)
    assert sum(moved(plan).values()) >= len(PASSAGE) - 2 * 5, "at most two pieces, each begun anew"


def test_a_passage_that_is_still_computed_does_not_hide_one_that_is_there(engine):
    engine.hold(PASSAGE)
    begun(engine, [80] * CHUNK + PASSAGE + END, "computed")
    _, _, _, plan = begun(engine, NEW + PASSAGE + END)
    assert sum(moved(plan).values()) == len(PASSAGE) - 5
