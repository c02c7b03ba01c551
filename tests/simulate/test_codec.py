"""A replay with encoded chunks: the same memory holds more of them."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from kvtransfer.chunks.encoded_size import ratio
from kvtransfer.cli import main
from kvtransfer.simulate.grid import Machine, pieces_in
from kvtransfer.simulate.replay import Served

FIRST_ROW = 8  # below five lines of assumptions, an empty one and the titles
SPEEDS = {"host": 1e9, "disk": 1e9, "remote": 1e9}


def shown(capsys, *options):
    """Of the first row that the command prints: the hits, and the GiB written by tier."""
    assert main(["simulate", "trace.jsonl", "--policy", "lru", *options]) == 0
    row = capsys.readouterr().out.splitlines()[FIRST_ROW].split()
    return float(row[2]), [float(gib) for gib in row[5].split("/")]


@pytest.fixture
def trace(tmp_path, monkeypatch):
    """Ten prompts of two chunks of 64 MiB each, twice: 1.25 GiB of chunks."""
    monkeypatch.chdir(tmp_path)
    prompts = [{"tokens": 1024, "hashes": [2 * n, 2 * n + 1]} for n in range(10)]
    (tmp_path / "trace.jsonl").write_text("\n".join(map(json.dumps, prompts * 2)))


@pytest.mark.parametrize(("codec", "least"), [("int8", 1.8), ("int5", 2.9), ("int4", 3.4)])
def test_host_memory_of_a_fixed_size_holds_more_tokens(codec, least, trace, capsys):
    whole = pieces_in("100", 1, Machine(512, 131_072, 1.0, SPEEDS).piece_bytes("host"))
    encoded = Machine(512, 131_072, 1.0, SPEEDS, ratios={"host": ratio(codec, "bfloat16")})
    assert pieces_in("100", 1, encoded.piece_bytes("host")) >= least * whole
    assert shown(capsys, "--host", "0.7") == (0.0, [2.5])  # a cycle that doesn't fit: no hits
    hits, written = shown(capsys, "--host", "0.7", "--codec", codec)
    assert hits == 0.5  # all but the first time
    assert written == [pytest.approx(1.25 / ratio(codec, "bfloat16"), rel=0.05)]


def test_lossless_leaves_host_memory_as_it_is_and_fills_less_of_the_store(trace, capsys):
    sizes = ("--host", "0.2", "--remote", "0.95")
    assert shown(capsys, *sizes) == (0.0, [2.5, 2.5])
    hits, written = shown(capsys, *sizes, "--codec", "lossless")
    assert hits == 0.5
    assert written == [2.5, pytest.approx(1.25 / 1.456, rel=0.05)]


def test_a_load_of_fewer_bytes_takes_less_time():
    served = Served(Counter(remote=2), Counter(remote=2))
    machine = Machine(10, 100, 1000.0, {"remote": 1e6})
    smaller = Machine(10, 100, 1000.0, {"remote": 1e6}, ratios={"remote": 2.0})
    assert machine.saved_s(served, 25) == pytest.approx(0.02 - 2000 / 1e6)
    assert smaller.saved_s(served, 25) == pytest.approx(0.02 - 1000 / 1e6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--codec", "int3"], "--codec: 'int3' is no codec; known are naive, lossless, int8"),
        (["--codec", "int8,int4"], "--codec takes one value for a replay, not 2"),
        (["--remote-gb-s", "1,2"], "--remote-gb-s takes one value for a replay, not 2"),
        (
            ["--prefill-tokens-per-s", "9@1,8@2"],
            "--prefill-tokens-per-s takes one value for a replay, not 2",
        ),
        (
            ["--codec", "int8", "--groups", "full,state"],
            "--codec int8 with states is not simulated",
        ),
    ],
)
def test_what_a_replay_does_not_take_is_said(options, said, trace, capsys):
    try:
        status = main(["simulate", "trace.jsonl", *options])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert said in capsys.readouterr().err


def test_states_are_replayed_as_they_are(trace, capsys):
    options = ["--host", "2", "--groups", "full,state", "--codec", "naive"]
    assert main(["simulate", "trace.jsonl", *options]) == 0
    assert "learned" in capsys.readouterr().out
