"""What blending asks of a worker fails in its report, and never in vLLM."""

from __future__ import annotations

import pytest

from kvtransfer.connector.vllm.blend.gap_work import GapWork
from kvtransfer.errors import ConfigError
from kvtransfer.move import Move
from kvtransfer.plan import GapJob, Load, Report

PLAIN = Load(1, "a", 0, fetch=False, block_ids=(7, 8))
MOVING = Load(2, "b", 1, fetch=False, block_ids=(), moves=(Move(0, 8, (5, 6), 0, 0, 40),))
JOBS = [GapJob(3, (5, 6), ((0, 2),), (1, 2)), GapJob(4, (9,), ((0, 1),), (1,))]


class Blender:
    rotation = "how it rotates"

    def __init__(self, refuses=None, fails=None):
        self.refuses, self.fails = refuses, fails
        self.called = []

    def prepare(self, block_ids):
        self.called.append(block_ids)
        if self.refuses:
            raise self.refuses

    def compute(self, jobs):
        self.called.append(tuple(jobs))
        if self.fails:
            raise self.fails


class Executor:
    rotation = None

    def rotate_by(self, rotation):
        self.rotation = rotation


def opened(**faults):
    blender, executor = Blender(**faults), Executor()
    return GapWork(lambda: blender, executor), blender, executor


def test_the_model_is_tried_once_before_the_first_tokens_are_moved():
    work, blender, executor = opened()
    work.prepare([PLAIN])
    assert blender.called == []
    work.prepare([PLAIN, MOVING])
    work.prepare([MOVING])
    assert blender.called == [(5, 6)]
    assert executor.rotation == Blender.rotation
    assert work.take_refusal() is None


def test_gaps_are_computed_together():
    work, blender, _ = opened()
    work.prepare([MOVING])
    work.compute([])
    work.compute(JOBS)
    assert blender.called[1:] == [tuple(JOBS)]
    assert work.take() == Report(computed={3: 1, 4: 1})
    assert work.take() == Report()


@pytest.mark.parametrize("error", [ConfigError("layer 3 has no rope"), RuntimeError("odd")])
def test_a_model_that_cannot_be_blended_is_told_once(error, caplog):
    work, _, executor = opened(refuses=error)
    work.prepare([MOVING])
    assert executor.rotation is None
    assert str(error) in work.take_refusal()
    assert work.take_refusal() is None
    assert "blending is off" in caplog.text


@pytest.mark.parametrize("prepared", [True, False])
def test_gaps_that_cannot_be_computed_fail(prepared):
    work, _, _ = opened(fails=RuntimeError("out of memory"))
    if prepared:
        work.prepare([MOVING])
    work.compute(JOBS)
    assert work.take() == Report(computed={3: 1, 4: 1}, failed={3, 4})


def test_gaps_of_other_weights_are_refused():
    work, blender, _ = opened()
    work.refuse(JOBS)
    assert blender.called == []
    assert work.take() == Report(computed={3: 1, 4: 1}, failed={3, 4})
