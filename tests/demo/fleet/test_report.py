from __future__ import annotations

from dataclasses import replace
from io import StringIO

from rich.console import Console

from demo.fleet.report import print_outcome
from tests.demo.fleet.test_outcome import FAILED, WELL, phase


def printed(outcome):
    written = StringIO()
    status = print_outcome(Console(file=written, width=80), outcome)
    return status, written.getvalue()


def test_the_table_has_a_row_for_each_phase():
    status, out = printed(WELL)
    words = out.split()
    row = words[words.index("before") :][:7]
    assert row == ["before", "2", "2", "0", "0", "38%", "50"]
    assert "All 5 requests were answered, and rightly." in out
    assert status == 0


def test_a_failed_request_is_the_exit_status():
    status, out = printed(replace(WELL, during=phase(FAILED)))
    assert "1 requests during the failures had no answer." in out
    assert status == 1


def test_without_a_prometheus_the_table_says_so():
    _, out = printed(replace(WELL, during=replace(WELL.during, restored_tokens=None)))
    assert "no Prometheus" in out
