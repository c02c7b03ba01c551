"""What has arrived for a request is void when the weights change before the request begins."""

from __future__ import annotations

from tests.requests.engine import Engine, ended, load_long


def loading(engine, arrived):
    """A request of six chunks, of which ``arrived`` have come."""
    request, _ = load_long(engine)
    jobs = engine.step().jobs.loads
    assert engine.side.take(ended(jobs[:arrived])) == set()
    return request, jobs


def test_a_request_waits_until_what_had_arrived_is_reported_as_failed():
    engine = Engine(slots=16)
    request, jobs = loading(engine, 2)
    engine.weights = "others"
    engine.step()  # tells of them
    assert engine.side.take(ended(jobs[2:], failed=jobs[2:])) == set()
    voided = engine.step().voided_blocks
    assert list(voided.values()) == [(*jobs[0].block_ids, *jobs[1].block_ids)]
    assert engine.step().voided_blocks == {}
    assert engine.side.take(ended([]), voided=voided) == {request.request_id}


def test_nothing_is_void_where_nothing_had_arrived():
    engine = Engine(slots=16)
    request, jobs = loading(engine, 0)
    engine.weights = "others"
    engine.step()
    assert engine.step().voided_blocks == {}
    assert engine.side.take(ended(jobs, failed=jobs)) == {request.request_id}


def test_the_blocks_of_a_request_that_was_received_are_the_engines():
    engine = Engine(slots=16)
    request, jobs = loading(engine, 2)
    assert engine.side.take(ended(jobs[2:])) == {request.request_id}
    engine.weights = "others"
    engine.step()
    assert engine.step().voided_blocks == {}


def test_a_request_that_is_aborted_meanwhile_is_received_once():
    engine = Engine(slots=16)
    request, jobs = loading(engine, 2)
    engine.weights = "others"
    engine.step()
    engine.side.finish(request, owns_blocks=True)
    voided = engine.step().voided_blocks
    assert engine.side.take(ended(jobs[2:], failed=jobs[2:])) == set()
    assert engine.side.take(ended([]), voided=voided) == {request.request_id}
    assert not engine.side.states()
