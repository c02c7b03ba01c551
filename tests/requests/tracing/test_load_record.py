"""What a scheduler records of loads, for requests that are traced alone."""

from __future__ import annotations

import pytest

from kvtransfer.plan import LoadTimes, Report, Took
from kvtransfer.requests.tracing.load_record import (
    LOAD_FAILED,
    REQUEST_ENDED,
    WEIGHTS_CHANGED,
    LoadRecord,
)
from kvtransfer.requests.tracing.spans import load_span
from tests.requests.engine import CHUNK, LONG, TOKENS, Engine, ended, load_long


class Tracer:
    def __init__(self):
        self.records = []

    def begin(self, request):
        return LoadRecord(request.request_id, clock=lambda: 1000.0)

    def end(self, record):
        self.records.append(record)

    def close(self):
        self.records.append("closed")


@pytest.fixture
def tracer():
    return Tracer()


@pytest.fixture
def traced(tracer):
    return Engine(tracer=tracer)


def finish(engine, plan, failed=()):
    loads = plan.jobs.loads
    report = ended(loads, failed)
    report.times = {load.job: LoadTimes(copy=Took(1.0, 2.0, 10)) for load in loads}
    engine.side.take(report)
    return loads


def test_a_load_is_recorded_once_it_has_ended(traced, tracer):
    traced.lookup.waits_s, traced.lookup.takes_s = 5.0, 2.0
    load_long(traced)
    plan = traced.step()
    assert all(load.is_timed for load in plan.jobs.loads)
    assert tracer.records == []
    finish(traced, plan)
    (record,) = tracer.records
    assert (record.lookup.began_s, record.lookup.ended_s) == (995.0, 997.0)
    assert load_span(record).attributes["kvtransfer.loaded_tokens.remote"] == 48
    assert record.times.keys() == record.tiers.keys() == {load.job for load in plan.jobs.loads}


def test_what_a_request_can_go_on_behind_is_used(traced, tracer):
    load_long(traced)
    plan = traced.step()
    finish(traced, plan, failed=[plan.jobs.loads[2], plan.jobs.loads[4]])
    (record,) = tracer.records
    assert (record.failure, record.used_tokens) == (LOAD_FAILED, 2 * CHUNK)


def test_changed_weights_leave_nothing_to_use(traced, tracer):
    load_long(traced)
    plan = traced.step()
    traced.side.reset()
    traced.weights = "new ones"
    voiding = traced.step()
    traced.side.take(ended(plan.jobs.loads, plan.jobs.loads))
    voiding = traced.step()
    traced.side.take(Report(), voided=voiding.voided_blocks)
    (record,) = tracer.records
    assert (record.failure, record.used_tokens) == (WEIGHTS_CHANGED, 0)


def test_weights_that_change_before_a_load_leave_no_mark_on_it(traced, tracer):
    traced.store(LONG)
    request = traced.request("r", LONG)
    assert traced.match(request, 0) == 48
    traced.side.reset()
    traced.weights = "new ones"
    traced.step()
    assert traced.match(request, 0) == 0
    traced.admit(request, traced.blocks(48), 0)
    (record,) = tracer.records
    assert record.failure is None


def test_a_request_that_ends_while_it_loads_says_so(traced, tracer):
    request, _ = load_long(traced)
    plan = traced.step()
    traced.side.finish(request, owns_blocks=True)
    assert tracer.records == []
    finish(traced, plan)
    (record,) = tracer.records
    assert (record.failure, record.used_tokens) == (REQUEST_ENDED, 0)


def test_a_request_that_loads_nothing_is_recorded_once(traced, tracer):
    request, _, _ = traced.prefill("r", TOKENS)
    traced.side.finish(request, owns_blocks=True)
    (record,) = tracer.records
    assert record.began_s is None
    assert record.failure is None


def test_a_request_that_is_never_admitted_says_so(traced, tracer):
    traced.store(LONG)
    request = traced.request("r", LONG)
    assert traced.match(request, 0) == 48
    traced.side.finish(request, owns_blocks=False)
    (record,) = tracer.records
    assert (record.failure, record.began_s) == (REQUEST_ENDED, None)


def test_a_preempted_request_that_loads_again_is_recorded_again(traced, tracer):
    request, _ = load_long(traced)
    finish(traced, traced.step())
    assert traced.match(request, 0) == 48
    traced.admit(request, traced.blocks(48), 48)
    finish(traced, traced.step())
    assert [record.began_s for record in tracer.records] == [1000.0, 1000.0]


def test_nothing_is_recorded_or_timed_where_nothing_traces(engine):
    load_long(engine)
    assert all(state.record is None for state in engine.side.states())
    loads = engine.step().jobs.loads
    assert loads
    assert not any(load.is_timed for load in loads)


def test_the_tracer_is_closed_with_the_scheduler(traced, tracer):
    traced.side.close()
    assert tracer.records == ["closed"]
