"""Requests get their keys for the weights that compute them, and lose them when these change."""

from __future__ import annotations

import pytest

from kvtransfer.requests.keys.weights import UNKNOWABLE
from tests.requests.engine import BLOCK, LONG, TOKENS, copied, keys


def test_after_a_reset_nothing_is_found_until_the_worker_has_read_its_weights(engine):
    engine.hold(TOKENS)
    running, _, _ = engine.prefill("r", range(15))
    waiting = engine.request("s", TOKENS)
    engine.side.reset()
    assert engine.match(waiting, 0) is None
    running.all_token_ids.append(1)
    assert engine.step(cached=[(running, [], 15, 1)]).jobs.saves == ()
    assert engine.match(waiting, 0) == 16  # they are the same
    assert len(engine.step(cached=[(running, [], 16, 1)]).jobs.saves) == 1


def test_who_waited_in_vain_for_the_weights_is_not_cached(engine):
    engine.hold(TOKENS)
    waiting = engine.request("s", TOKENS)
    engine.side.reset()
    assert engine.match(waiting, 0) is None
    engine.now_s += 0.9
    assert engine.match(waiting, 0) is None
    engine.now_s += 0.2
    assert engine.match(waiting, 0) == 0


def test_what_other_weights_computed_is_neither_found_nor_saved(engine):
    engine.hold(TOKENS)
    engine.store(TOKENS)
    running, _, _ = engine.prefill("r", range(15))
    waiting = engine.request("s", TOKENS)
    engine.side.reset()
    engine.weights = "others"
    running.all_token_ids.append(1)
    engine.step(cached=[(running, [], 15, 1)])
    assert engine.match(waiting, 0) == 0
    assert engine.step(cached=[(running, [], 16, 1)]).jobs.saves == ()
    _, _, plan = engine.prefill("t", TOKENS)
    assert {save.key for save in plan.jobs.saves} == set(keys(TOKENS, "others"))


def test_a_request_behind_blocks_of_other_weights_is_not_saved(engine):
    engine.prefill("r", TOKENS)
    engine.weights = "others"
    engine.step()
    _, _, plan = engine.prefill("s", TOKENS, local=BLOCK)
    assert plan.jobs.saves == ()
    engine.side.note_local_reset()
    engine.step()
    _, _, plan = engine.prefill("t", TOKENS, local=BLOCK)
    assert {save.key for save in plan.jobs.saves} == set(keys(TOKENS, "others"))


def test_weights_that_nobody_can_tell_from_others_cache_nothing(engine):
    engine.store(TOKENS)
    engine.weights = UNKNOWABLE
    engine.step()
    _, _, plan = engine.prefill("r", TOKENS)
    assert (plan.jobs.loads, plan.jobs.saves) == ((), ())


@pytest.mark.usefixtures("few_a_step")
def test_other_weights_drop_what_is_not_saved_yet(engine):
    running, _, first = engine.prefill("r", LONG)
    ended, _, second = engine.prefill("s", range(40))
    engine.side.finish(ended, owns_blocks=True)
    engine.side.take(copied([*first.jobs.saves, *second.jobs.saves]))
    engine.weights = "others"
    engine.side.reset()
    engine.step()
    assert not engine.side.is_saving
    assert engine.step(cached=[(running, [], len(LONG), 1)]).jobs.saves == ()
