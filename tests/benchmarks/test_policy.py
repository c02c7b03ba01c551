import json
from pathlib import Path

from benchmarks.bench_policy import PERCENTS, speed_rows
from benchmarks.changing_loads import CHANGES
from benchmarks.workloads import chats_and_documents

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "policy.jsonl"


def test_the_committed_rates_are_what_the_default_policy_promises():
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    rates = {(row["case"], row["impl"]): row["value"] for row in rows}
    for percent in PERCENTS:
        case = f"conversation/{percent}%"
        best = max(rates[case, impl] for impl in ("lru", "arc", "s3fifo"))
        ours = rates[case, "kvtransfer"]
        assert ours >= best * (1.05 if percent <= 5 else 1.0)
        assert ours <= rates[case, "optimum"]


def test_the_committed_rates_stay_near_the_best_where_the_load_changes():
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    changing = [row for row in rows if row["case"].startswith(("change/", "made/"))]
    rates = {(row["case"], row["impl"]): row["value"] for row in changing}
    ours = [row for row in changing if row["impl"] == "kvtransfer"]
    assert {row["case"].split("/")[1].split()[-1] for row in ours} >= set(CHANGES)
    for row in ours:
        best = max(rates[row["case"], impl] for impl in ("lru", "arc", "s3fifo"))
        assert row["value"] >= 0.95 * best
        assert row["more"]["worst_x_lru"] >= 0.7


def test_the_made_load_is_the_same_each_time_and_of_prefixes():
    requests = chats_and_documents(300)
    assert requests == chats_and_documents(300)
    seen = set()
    for ids in requests:
        fresh = [id_ not in seen for id_ in ids]
        assert fresh == sorted(fresh)
        assert len(set(ids)) == len(ids)
        seen |= set(ids)


def test_planning_is_measured_for_every_policy():
    assert [row.impl for row in speed_rows(rounds=1)] == ["kvtransfer", "lru", "arc"]


def test_the_default_serves_no_less_than_learned_where_there_are_several_groups():
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    rates = {(row["case"], row["impl"]): row["value"] for row in rows}
    cases = [case for case, _ in rates if case.startswith("groups/")]
    assert cases
    for case in cases:
        assert rates[case, "kvtransfer"] >= rates[case, "learned"]
    shown = (RESULTS.parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
    for impl in ("kvtransfer", "learned"):
        assert f"{rates['groups/window/128 GiB', impl]:.3f}" in shown
