from __future__ import annotations

import json
import subprocess
import sys
from threading import Thread, current_thread

import pytest

from benchmarks.measure import ROOT
from benchmarks.timeline import Span, Timeline, as_json, drawn, summed
from tests.fake_clock import FakeClock


class Worker:
    def __init__(self, clock, cpu_clock):
        self._clock, self._cpu_clock = clock, cpu_clock

    def work(self, took_s, cpu_s):
        self._clock.now_s += took_s
        self._cpu_clock.now_s += cpu_s
        if took_s > 100:
            raise TimeoutError
        return took_s


@pytest.fixture
def watched():
    clock, cpu_clock = FakeClock(5.0), FakeClock()
    timeline = Timeline(clock, cpu_clock)
    with timeline.watching([(Worker, "work", "fetch")]):
        yield timeline, Worker(clock, cpu_clock)


def test_calls_are_recorded_by_thread_with_what_they_took_and_computed(watched):
    timeline, worker = watched
    assert worker.work(2.0, 0.5) == 2.0
    other = Thread(target=worker.work, args=(1.0, 1.0), name="other")
    other.start()
    other.join()
    assert timeline.take() == [
        Span("fetch", current_thread().name, 0.0, 2.0, 0.5),
        Span("fetch", "other", 2.0, 3.0, 1.0),
    ]
    assert timeline.take() == []


def test_a_call_that_fails_is_recorded_and_fails(watched):
    timeline, worker = watched
    with pytest.raises(TimeoutError):
        worker.work(101.0, 1.0)
    assert timeline.take()[0].end_s == 101.0


def test_afterwards_nothing_is_recorded():
    before = Worker.work
    with Timeline().watching([(Worker, "work", "fetch")]):
        assert Worker.work is not before
    assert Worker.work is before


SPANS = [
    Span("fetch", "a", 0.0, 0.5, 0.1),
    Span("copy", "b", 0.5, 0.75, 0.2),
    Span("fill", "a", 0.75, 1.0, 0.0),
]


def test_it_is_drawn_with_a_line_for_each_thread_and_capitals_where_it_computes():
    assert drawn(SPANS, columns=8) == [
        "   0" + "1000.0 ms".rjust(7),
        "a  fffff.ii",
        "b  ....CCC.",
        "f fetch  c copy  i fill",
    ]


def test_nothing_is_drawn_of_nothing():
    assert drawn([]) == []
    assert summed([]) == {}


def test_stages_are_summed():
    assert summed([*SPANS, Span("fetch", "b", 2.0, 4.0, 1.0)])["fetch"] == {
        "calls": 2,
        "begin_s": 0.0,
        "end_s": 4.0,
        "took_s": 2.5,
        "cpu_s": 1.1,
    }


def test_spans_are_plain_data():
    assert json.loads(json.dumps(as_json(SPANS)))[1] == {
        "stage": "copy",
        "thread": "b",
        "begin_s": 0.5,
        "end_s": 0.75,
        "cpu_s": 0.2,
    }


def test_the_timeline_of_a_restore_is_shown_and_written(tmp_path):
    file = tmp_path / "spans.jsonl"
    command = [sys.executable, "-m", "benchmarks.restore_timeline", "--json", str(file)]
    options = ["--tokens", "512", "--rounds", "1", "--busy", "1"]
    ended = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["busy"] for line in lines] == [0, 1]
    for line in lines:
        stages = [span["stage"] for span in line["spans"]]
        assert (stages.count("fetch"), stages.count("copy")) == (2, 2)
    assert ended.stdout.count("kvtransfer-scatter_0") == 2
