"""What a worker does with jobs that were planned for other weights than it holds."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.plan import Load, Plan, Save
from kvtransfer.requests.keys.weights import Expectation, Holding
from kvtransfer.requests.step import StepPlan
from tests.connector.vllm.worker_side import WEIGHTS, Weights, opened

pytestmark = pytest.mark.vllm

KEY, BLOCKS = "a" * 32, (1, 2)
FOREVER_S = 30.0


@pytest.fixture
def weights():
    return Weights()


@pytest.fixture
def worker(weights):
    with closing(opened(weights)) as side:
        yield side


class Steps:
    """Steps of a worker, as vLLM's runner takes them."""

    def __init__(self, worker):
        self._worker = worker
        self._count = 0

    def take(self, plan, expected=(WEIGHTS,)):
        """One step; returns its report and the blocks that it left unfilled."""
        from kvtransfer.connector.vllm.messages import PlanMessage

        self._count += 1
        step = PlanMessage(plan, Expectation(self._count, expected))
        self._worker.before_writes(step)
        self._worker.begin_step(step.weights)
        self._worker.load(step)
        self._worker.save(step)
        unfilled = self._worker.take_report(plan)
        return self._worker.report(step), unfilled


@pytest.fixture
def steps(worker):
    return Steps(worker)


def saved(steps):
    """A chunk is in slot 0."""
    report, _ = steps.take(StepPlan(Plan(saves=(Save(0, KEY, 0, BLOCKS),)), poll_s=FOREVER_S))
    assert report.report.copied == {0: 1}
    assert not report.report.failed


def test_jobs_for_the_weights_that_it_holds_are_done(steps):
    saved(steps)
    load = Load(1, KEY, 0, fetch=False, block_ids=BLOCKS)
    report, unfilled = steps.take(StepPlan(Plan(loads=(load,)), poll_s=FOREVER_S))
    assert (report.report.loaded, report.report.failed) == ({1: 1}, set())
    assert unfilled == set()
    assert report.weights == {}


@pytest.mark.parametrize("expected", [None, ("others",)])
def test_jobs_for_other_weights_are_refused_and_it_says_what_it_holds(steps, expected):
    jobs = Plan(
        loads=(Load(0, KEY, 0, fetch=True, block_ids=BLOCKS),),
        saves=(Save(2, "c" * 32, 2, (5, 6), put=False),),
    )
    plan = StepPlan(jobs, first_saves=(Save(1, "b" * 32, 1, (3, 4)),))
    report, unfilled = steps.take(plan, expected)
    assert unfilled == set(BLOCKS)
    found = report.report
    assert (found.loaded, found.copied, found.stored) == ({0: 1}, {1: 1, 2: 1}, {1: 1})
    assert found.failed == {0, 1, 2}
    assert report.weights == {0: Holding(WEIGHTS, 1)}


def test_loads_under_way_fail_when_the_weights_change(steps, weights):
    saved(steps)
    load = Load(1, KEY, 0, fetch=False, block_ids=BLOCKS)
    worker = steps._worker
    worker.load(_step(steps, StepPlan(Plan(loads=(load,)))))
    weights.holds = "others"
    report, unfilled = steps.take(StepPlan(poll_s=FOREVER_S))
    assert report.report.failed == {1}
    assert unfilled == set(BLOCKS)
    assert report.weights[0].fingerprint == "others"


def _step(steps, plan):
    from kvtransfer.connector.vllm.messages import PlanMessage

    return PlanMessage(plan, Expectation(1, (WEIGHTS,)))
