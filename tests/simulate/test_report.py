"""The figures of a replay as JSON and CSV, with what they rest on."""

from __future__ import annotations

import csv
import io
import json

import pytest

from kvtransfer.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four prompts of four chunks of 64 MiB: two texts in turn."""
    monkeypatch.chdir(tmp_path)
    lines = [
        {"timestamp": 60_000 * n, "tokens": 2000, "hashes": [f"{n % 2}.{i}" for i in range(4)]}
        for n in range(4)
    ]
    (tmp_path / "trace.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def printed(capsys, *options):
    assert main(["simulate", "trace.jsonl", "--policy", "lru", *options]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return told.out


def test_json_has_each_figure_of_the_table(folder, capsys):
    found = json.loads(printed(capsys, "--host", "0.5", "--disk", "0,1", "--json"))
    assert found["assumptions"]["trace_seconds"] == 180.0
    assert found["assumptions"]["chunk_tokens"] == 512
    first, second = found["outcomes"]
    assert (first["disk_gib"], second["disk_gib"]) == (0.0, 1.0)
    assert first["hit_rate"] == second["host_hit_rate"] == 0.5
    assert second["optimum_hit_rate"] == 0.5
    assert first["restored_tokens"] == 4000
    assert first["restored_share"] == 0.5
    assert second["disk_written_gib"] == 0.5
    assert first["saved_s_per_request"] == pytest.approx((0.2 - 4 * 2**26 / 20e9) / 2)


def test_csv_has_a_row_for_each_outcome_with_all_assumptions(folder, capsys):
    options = ("--host", "0.25,0.5", "--remote", "0,1")
    found = json.loads(printed(capsys, *options, "--json"))
    rows = list(csv.DictReader(io.StringIO(printed(capsys, *options, "--csv"))))
    assert len(rows) == len(found["outcomes"]) == 4
    for row, outcome in zip(rows, found["outcomes"], strict=True):
        for name, value in {**found["assumptions"], **outcome}.items():
            assert row[name] == ("" if value is None else str(value)), name


def test_several_groups_have_no_optimum(folder, capsys):
    found = json.loads(printed(capsys, "--host", "1", "--groups", "full,window:512", "--json"))
    assert found["outcomes"][0]["optimum_hit_rate"] is None


def test_the_assumptions_stand_above_the_table(folder, capsys):
    options = (
        "--host",
        "1",
        "--codec",
        "int4",
        "--prefill-tokens-per-s",
        "5000",
        "--instances",
        "2",
    )
    lines = printed(capsys, *options, "--admit-chance", "0.05").splitlines()
    assert lines[:4] == [
        "trace: trace.jsonl, 4 requests in 3 min, 2,000 tokens each",
        "chunks: 16 of 512 tokens, 64 MiB; 8 distinct, 0.5 GiB as they are computed",
        "model: any, bfloat16, 131,072 bytes a token, int4 in every tier, 3.51 x smaller",
        "speeds: computing 5,000 tokens/s; loading from host memory 20 GB/s, disk 4, remote 2",
    ]
    assert " ".join(lines[4:6]) == (
        "engines: 2, which get requests in turn, requests one after another; each chunk is written when "
        "it leaves host memory, if it comes again with a chance of 0.05"
    )


def test_engines_in_turn_share_the_remote_store_alone(folder, capsys):
    """Each of two engines gets one of the two texts; each of three gets both, and a third of the requests."""
    rates = {}
    for instances in ("1", "2", "3"):
        for remote in ("0", "1"):
            options = ("--host", "0.25", "--remote", remote, "--instances", instances, "--json")
            (outcome,) = json.loads(printed(capsys, *options))["outcomes"]
            rates[instances, remote] = outcome["hit_rate"]
    assert rates == {
        ("1", "0"): 0.0, ("1", "1"): 0.5, ("2", "0"): 0.5, ("2", "1"): 0.5, ("3", "0"): 0.0, ("3", "1"): 0.5,
    }  # fmt: skip


def test_tables_come_one_way_at_a_time(folder, capsys):
    assert main(["simulate", "trace.jsonl", "--json", "--csv"]) == 2
    assert "--csv doesn't go with --json; leave out one of them" in capsys.readouterr().err
