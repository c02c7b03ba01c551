"""Two checkouts are measured in turns; each is called by its own name."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.measure import ROOT

BENCH = """
import json, sys
file = sys.argv[sys.argv.index("--json") + 1]
assert sys.argv[-1] == "--fast"
with open({log!r}, "a+") as log:
    log.write({name!r} + "\\n")
    log.seek(0)
    number = log.read().count({name!r})
for impl, value in (("kvtransfer", {value} + number), ("redis-py", 100 + {value})):
    row = dict(bench="b", case="get", impl=impl, value=value, unit="s", quantiles=[0, 0], n=1)
    print(json.dumps(dict(row, bytes=1, cpu_s_per_gb=None)), file=open(file, "a"))
"""


@pytest.fixture
def other(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    log = str(tmp_path / "log")
    bench = tmp_path / "benchmarks" / "bench_made.py"
    bench.write_text(BENCH.format(log=log, name="theirs", value=10))
    return tmp_path


def beside(folder, bench, *more):
    command = [sys.executable, "-m", "benchmarks.beside", str(folder), bench, *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_medians_of_runs_in_turns(other, tmp_path, monkeypatch):
    from benchmarks import beside as module

    ours = tmp_path / "ours"
    (ours / "benchmarks").mkdir(parents=True)
    log = str(tmp_path / "log")
    made = BENCH.format(log=log, name="ours", value=20)
    (ours / "benchmarks" / "bench_made.py").write_text(made)
    monkeypatch.setattr(module, "ROOT", ours)
    rows = tmp_path / "rows.jsonl"
    given = [
        "beside.py",
        str(other),
        "bench_made",
        "--runs",
        "3",
        "--json",
        str(rows),
        "--",
        "--fast",
    ]
    monkeypatch.setattr(sys, "argv", given)
    module.main()
    found = {row["impl"]: row for row in map(json.loads, rows.read_text().splitlines())}
    assert {impl: row["value"] for impl, row in found.items()} == {
        "before": 12,
        "kvtransfer": 22,
        "redis-py": 120,
    }
    assert found["before"]["n"] == 3
    assert (tmp_path / "log").read_text().split() == ["theirs", "ours"] * 3


def test_a_benchmark_that_the_other_checkout_lacks(other):
    ended = beside(other, "bench_none")
    assert ended.returncode == 2
    assert "has no benchmarks/bench_none.py" in ended.stderr
