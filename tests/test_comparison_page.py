"""The figures of ``docs/comparison.md`` are the committed results, with the date of their run."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
COLUMNS = (
    ("host", "kvtransfer"),
    ("redis", "kvtransfer"),
    ("redis", "lmcache-shm"),
    ("redis", "lmcache-pickle"),
    ("redis", "cold"),
)


def rows(name):
    return [json.loads(line) for line in (RESULTS / f"{name}.jsonl").read_text().splitlines()]


def values(name):
    return {(row["case"], row["impl"]): row["value"] for row in rows(name)}


def lines(pattern):
    return re.findall(rf"^\| {pattern} \|(.*)\|$", PAGE, re.MULTILINE)


def test_the_ratios_are_those_of_the_run():
    seconds = values("ttft-lmcache")
    shown = lines(r"([\d,]+) tokens")
    assert [tokens for tokens, _ in shown] == ["2,048", "4,096"]
    for tokens, cells in shown:
        case = f"restored/{tokens.replace(',', '')}/{{}}/block128"
        least = seconds[case.format("redis"), "local_hit"]
        expected = [seconds[case.format(tier), impl] / least for tier, impl in COLUMNS]
        found = [float(cell.strip().removesuffix(" x")) for cell in cells.split("|")]
        assert found[:-1] == pytest.approx(expected[:-1], abs=0.0051)
        assert found[-1] == pytest.approx(expected[-1], abs=0.51)


def test_the_date_and_the_number_are_those_of_the_run():
    used = [row for row in rows("ttft-lmcache") if re.search(r"/(host|redis)/", row["case"])]
    (day,) = {datetime.fromtimestamp(row["time"], UTC).date() for row in used}
    (number,) = {row["n"] for row in used}
    assert f"One run on {day.day} {day:%B %Y}, medians of four" in PAGE
    assert number == 4


def test_who_is_ahead_is_said_as_it_is():
    seconds = values("ttft-lmcache")

    def is_ahead(tokens):
        case = f"restored/{tokens}/redis/block128"
        return seconds[case, "lmcache-shm"] < seconds[case, "kvtransfer"]

    assert [is_ahead(2048), is_ahead(4096)] == [True, False]
    assert "ahead at 2,048 tokens, and behind at 4,096" in PAGE


def test_the_speeds_beside_makers_clients_are_the_committed_ones():
    rates = values("stores")
    for store, words in (("mooncake", "{} to {} of its speed"), ("nixl", "NIXL {} to {}"),
                         ("s3", "buckets {} to {}")):  # fmt: skip
        shares = [
            rate / rates[case, "client"]
            for (case, impl), rate in rates.items()
            if impl == "kvtransfer" and case.endswith(f"/{store}")
        ]
        assert words.format(f"{min(shares):.2f}", f"{max(shares):.2f}") in PAGE


def test_the_load_where_we_are_slower_is_the_committed_one():
    seconds = values("serving")
    ours, theirs = (seconds["passages/ttft/p50", impl] for impl in ("kvtransfer", "vllm"))
    assert f"{ours:.1f} s instead of {theirs:.1f} s" in PAGE
