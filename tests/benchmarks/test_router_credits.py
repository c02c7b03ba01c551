"""Real routers credit what we tell them of as the committed rows and the page for users say."""

from __future__ import annotations

import json

import pytest

from benchmarks.measure import ROOT
from benchmarks.router_credits.__main__ import ROUTERS, line
from benchmarks.router_credits.cases import CASES
from benchmarks.router_credits.trial import outcomes

RESULTS = ROOT / "benchmarks" / "results" / "router-credits.jsonl"
PAGE = ROOT / "docs" / "routers.md"


@pytest.mark.parametrize("kind", ROUTERS, ids=lambda kind: kind.dialect)
def test_each_case_is_credited_where_it_can_be_loaded(kind, tmp_path):
    wrong = [
        line(kind, outcome)
        for outcome in outcomes(kind, CASES, tmp_path)
        if not outcome.is_right(kind.dialect)
    ]
    assert wrong == []


@pytest.fixture(scope="module")
def committed():
    rows = [json.loads(text) for text in RESULTS.read_text().splitlines()]
    return {(row["case"], row["impl"]): row for row in rows}


def test_the_committed_rows_are_of_these_cases(committed):
    assert {key: row["value"] for key, row in committed.items()} == {
        (case.name, kind.name): case.credit(kind.dialect) for case in CASES for kind in ROUTERS
    }


def test_the_page_has_the_committed_rows(committed):
    page = PAGE.read_text()
    for case in CASES:
        credits = (int(committed[case.name, kind.name]["value"]) for kind in ROUTERS)
        tokens = case.chunks * 256
        assert f"| {case.name} | {tokens} | {' | '.join(map(str, credits))} |" in page
