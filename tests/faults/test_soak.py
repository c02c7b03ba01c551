from __future__ import annotations

from tests.faults.soak import WELL, lines, soak, summary

SEED = 20260101


def test_storms_break_no_promise_and_are_resumed(tmp_path):
    path = tmp_path / "soak.jsonl"
    first = list(soak(12, SEED, path))
    rest = list(soak(40, SEED, path))
    assert [line["number"] for line in first + rest] == list(range(40))
    assert lines(SEED, path) == first + rest
    assert lines(SEED + 1, path) == []
    assert summary(SEED, path)["outcomes"] == {WELL: 40}
