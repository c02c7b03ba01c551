"""docs/sizing.md shows what its committed runs have found, and its script draws the pictures again."""

from __future__ import annotations

import json
import re
import sys

import pytest

from docs import sizing_pictures

PAGE = (sizing_pictures.ROOT / "docs" / "sizing.md").read_text(encoding="utf-8")
NAMES = list(sizing_pictures.COMMANDS)


def found(name):
    return json.loads((sizing_pictures.PICTURES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_there_and_small(name):
    picture = sizing_pictures.PICTURES / f"{name}.png"
    assert f"(pictures/{name}.png)" in PAGE
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert picture.stat().st_size < 200_000


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_drawn_by_the_command_that_the_page_shows(name):
    options = re.sub(r"\S*/", "", sizing_pictures.COMMANDS[name])
    assert f"kvtransfer simulate trace.jsonl {options}" in PAGE
    assert found(name)["assumptions"]["prefill_tokens_per_s"] == 13_500


def test_the_gain_of_a_disk_is_the_committed_one():
    rates = {
        (outcome["policy"], outcome["host_gib"], outcome["disk_gib"]): outcome["hit_rate"]
        for outcome in found("simulate-sizes")["outcomes"]
    }
    least, most, disk = re.search(
        r"from (\d+) % to (\d+) % with (\d+) GiB", " ".join(PAGE.split())
    ).groups()
    assert f"{rates['learned', 64, 0]:.0%}" == f"{least}%"
    assert f"{rates['learned', 64, float(disk)]:.0%}" == f"{most}%"


def test_the_table_of_the_budget_is_the_committed_one():
    steps, answer = found("simulate-budget")["steps"], found("simulate-budget")["answer"]
    rows = re.findall(r"^(\d+) +([\d,]+)/([\d,]+)/[\d,]+ .*? ([\d.]+%) ", PAGE, re.MULTILINE)
    assert len(rows) == len(steps)
    for (eur, host, disk, share), step in zip(rows, steps, strict=True):
        assert eur == f"{step['eur_a_month']:.0f}"
        assert (host, disk) == (f"{step['host_gib']:,.0f}", f"{step['disk_gib']:,.0f}")
        assert share == f"{step['restored_share']:.1%}"
    for sentence in answer:
        assert sentence in " ".join(PAGE.split())


def test_the_script_draws_all_of_a_trace(tmp_path, monkeypatch):
    lines = [
        {"tokens": 1024, "hashes": [n % 3, f"{n % 3}b"], "timestamp": n * 1000} for n in range(9)
    ]
    (tmp_path / "trace.jsonl").write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setattr(sizing_pictures, "PICTURES", tmp_path)
    monkeypatch.setattr(sys, "argv", ["sizing_pictures", str(tmp_path / "trace.jsonl")])
    assert sizing_pictures.main() == 0
    for name in NAMES:
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
        assert (
            json.loads((tmp_path / f"{name}.json").read_text())["assumptions"]["trace_requests"]
            == 9
        )
