from __future__ import annotations

from kvtransfer.requests.step import StepInput


def test_a_step_computes_something_if_any_request_does():
    assert not StepInput().computes
    assert not StepInput(scheduled_tokens={"r": 0}).computes
    assert StepInput(scheduled_tokens={"r": 0, "s": 1}).computes
