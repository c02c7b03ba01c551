import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from demo import run

ROOT = Path(__file__).parents[2]


@pytest.mark.vllm
def test_a_short_demo_restores_and_agrees(tmp_path, monkeypatch, capsys):
    others = children()  # of other tests, still running or not yet waited for
    monkeypatch.setattr(run, "CONTEXT_TOKENS", 512)
    figures = tmp_path / "figures.json"
    status = run.main(["--runs", "1", "--json", str(figures)])
    out = capsys.readouterr().out
    found = json.loads(figures.read_text())
    assert found["identical"], out
    assert found["restored_tokens"] == 512
    assert found["bytes"] == 2 * 30 * 2 * 256 * 3 * 64 * 4  # chunks of all layers' fp32 K and V
    assert found["prompt_tokens"] > 512
    assert found["ttft_restored_s"] > 0
    assert "HGETALL SmolLM2-135M-Instruct-fp32@1@0@" in out
    assert "Identical:" in out
    assert status == 0
    assert children() <= others


@pytest.fixture
def _interruptible():
    """In the background of a shell SIGINT is ignored, which what is started there would inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.vllm
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("_interruptible")
def test_interrupted_it_leaves_nothing_behind(number):
    with subprocess.Popen(
        [sys.executable, "-m", "demo.run"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        processes = started(demo, count=3)  # the server and two engines
        os.kill(demo.pid, number)
        words = demo.stderr.read()
    gone, alive = psutil.wait_procs(processes, timeout=240)
    assert (len(gone), alive) == (3, [])
    assert demo.returncode == 128 + number
    assert words == ""


def children():
    return {child.pid for child in psutil.Process().children(recursive=True)}


def started(demo, count):
    """The children of ``demo``, when there are ``count``."""
    while len(found := psutil.Process(demo.pid).children()) < count:
        assert demo.poll() is None, demo.stderr.read()
        time.sleep(0.05)
    return found


def test_more_texts_than_the_book_has_are_refused(capsys):
    assert run.main(["--runs", "1000"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("demo: Newton's Opticks holds ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--runs", "0"], "--runs 0: at least 1"),
        (["--json", "/no/such/folder/x.json"], "there is no folder /no/such/folder"),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(arguments, sentence, capsys):
    with pytest.raises(SystemExit):
        run.main(arguments)
    assert sentence in capsys.readouterr().err
