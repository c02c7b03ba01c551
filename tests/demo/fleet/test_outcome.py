from __future__ import annotations

from demo.fleet.load import Reply
from demo.fleet.outcome import Outcome, Phase

RIGHT = Reply(True, True, 100, 75)
COLD = Reply(True, True, 100, 0)
WRONG = Reply(True, False, 100, 100)
FAILED = Reply(False, False)


def phase(*replies):
    return Phase(replies, seconds=2.0, restored_tokens=50.0)


WELL = Outcome(phase(RIGHT, COLD), phase(RIGHT), phase(RIGHT, RIGHT), retries=3)


def test_the_figures_are_those_of_all_phases():
    assert WELL.to_json() == {
        "requests": 5,
        "failed": 0,
        "wrong": 0,
        "hit_rate_before": 0.375,
        "hit_rate_during": 0.75,
        "hit_rate_after": 0.75,
        "retries": 3,
    }
    assert WELL.problems() == []


def test_what_failed_or_was_wrong_is_a_problem():
    badly = Outcome(phase(RIGHT), phase(FAILED, FAILED, WRONG), phase(), retries=0)
    assert badly.problems() == [
        "2 requests during the failures had no answer.",
        "1 answers during the failures were wrong.",
        "No request ended after the failures.",
    ]
    assert (badly.to_json()["failed"], badly.to_json()["wrong"]) == (2, 1)


def test_a_phase_without_prompts_has_no_hits():
    assert phase(FAILED).hit_rate == 0
