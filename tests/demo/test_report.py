from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from demo.entry import Entry
from demo.outcome import Outcome
from demo.report import Screen
from tests.demo.test_outcome import RESTORED, RUN

OUTCOME = Outcome(2048, (RUN, RUN))
KEY = f"SmolLM2-135M-Instruct-fp32@1@0@{'a' * 32}"


def printed(show, *, columns=80):
    """What ``show(screen)`` prints into a pipe."""
    written = StringIO()
    show(Screen(Console(file=written, width=columns)))
    return written.getvalue()


@pytest.mark.parametrize("columns", [80, 100])
def test_the_table_shows_every_figure_in_full(columns):
    words = printed(lambda screen: screen.figures(OUTCOME), columns=columns).split()
    cold = words[words.index("cold") :][:7]
    assert cold == ["cold", "10.00", "10.00-10.00", "1.0x", "0", "2,064", "0.0"]
    restored = words[words.index("restored") :][:7]
    assert restored == ["restored", "0.50", "0.50-0.50", "20.0x", "2,048", "16", "94.4"]


def test_a_pipe_gets_plain_lines():
    def show(screen):
        with screen.stage("vLLM reads") as detail:
            detail("1 of 3")
        screen.figures(OUTCOME)
        screen.verdict(OUTCOME)

    out = printed(show)
    assert out.startswith("  ok  vLLM reads")
    assert "\x1b" not in out
    assert "\r" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_stage_that_fails_is_not_said_to_be_ok():
    def show(screen):
        with pytest.raises(ValueError, match="no"), screen.stage("vLLM reads"):
            raise ValueError("no")

    assert printed(show) == ""


def test_an_entry_is_shown_whole_to_be_copied():
    entry = Entry(KEY, {"dtype": "float32", "nbytes": "11796480"}, 11796480, entries=8)
    lines = printed(lambda screen: screen.entry(entry)).splitlines()
    assert f"> HGETALL {KEY}" in lines
    assert f"> STRLEN {KEY}_bytes" in lines
    assert "  dtype   float32" in lines


def test_an_answer_is_shown_as_it_is():
    out = printed(lambda screen: screen.exchange("a book", "Why?", "[bold]because[/bold]"))
    assert "[bold]because[/bold]" in out


def test_the_verdict_is_the_exit_status():
    statuses = []
    out = printed(lambda screen: statuses.append(screen.verdict(OUTCOME)))
    assert "Identical: 6 answer tokens" in out
    missed = replace(RUN, restored=replace(RESTORED, restored_tokens=0))
    out = printed(lambda screen: statuses.append(screen.verdict(Outcome(2048, (missed,)))))
    assert out == "Run 1 restored 0 tokens from Redis instead of 2,048.\n"
    assert statuses == [0, 1]
