"""Runs one benchmark of this checkout and of another commit's in turns, and compares the medians.

``python -m benchmarks.beside FOLDER BENCH [--runs N] [--impl IMPL ...] [--json FILE]
[-- ARGUMENTS]``: ``FOLDER`` is a
checkout of the other commit, ``BENCH`` a module of ``benchmarks`` with ``--json`` (``bench_redis``),
``ARGUMENTS`` are passed to it. Each run is a process of its own. A row's value is the median of its
runs; ``before`` is what the other commit's kvtransfer did. Baselines come from this checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.measure import ROOT, Row, append_rows, print_table, quantiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OURS, BEFORE = "kvtransfer", "before"
Measured = dict[tuple[str, str], list[dict[str, Any]]]
"""Rows by case and impl, one a run."""


def main() -> None:
    options = _options()
    measured: Measured = defaultdict(list)
    for _ in range(options.runs):
        for folder, name in ((options.folder, BEFORE), (ROOT, OURS)):
            for row in _run(folder, options.bench, options.arguments):
                impl = _named(row["impl"], options.impl, name)
                if impl is not None:
                    measured[row["case"], impl].append(row)
    rows = list(merged(measured))
    print_table(rows, BEFORE)
    if options.json:
        append_rows(options.json, rows)


def merged(measured: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> Iterator[Row]:
    """One row for each case and impl, of the medians that its runs had; cases stay together."""
    for case in dict.fromkeys(case for case, _ in measured):
        for (of_case, impl), runs in measured.items():
            if of_case == case:
                yield _merged(case, impl, runs)


def _merged(case: str, impl: str, runs: Sequence[Mapping[str, Any]]) -> Row:
    values = [run["value"] for run in runs]
    costs = [run["cpu_s_per_gb"] for run in runs if run["cpu_s_per_gb"] is not None]
    return Row(
        runs[0]["bench"],
        case,
        impl,
        median(values),
        runs[0]["unit"],
        quantiles(values),
        len(values),
        runs[0]["bytes"],
        median(costs) if costs else None,
    )


def _named(impl: str, ours: Sequence[str], name: str) -> str | None:
    """What a row of ``impl`` is called; None: a baseline of the other checkout, which is left out."""
    if impl not in ours:
        return impl if name == OURS else None
    if impl == OURS:
        return name
    return impl if name == OURS else f"{impl}, {name}"


def _run(folder: Path, bench: str, arguments: Sequence[str]) -> list[dict[str, Any]]:
    with TemporaryDirectory() as temporary:
        file = Path(temporary) / "rows.jsonl"
        command = [sys.executable, "-m", f"benchmarks.{bench}", "--json", str(file), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        # One that measured something too slow says so by its exit status.
        subprocess.run(command, cwd=folder, env=environment, check=False, stdout=sys.stderr)
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="beside.py", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a checkout of the other commit")
    parser.add_argument("bench", help="a module of benchmarks, such as bench_redis")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--impl", nargs="+", default=[OURS], help="rows that kvtransfer did (default: kvtransfer)"
    )
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:end])
    options.arguments = given[end + 1 :]  # argparse takes no options of others
    if not (options.folder / "benchmarks" / f"{options.bench}.py").is_file():
        parser.error(f"{options.folder} has no benchmarks/{options.bench}.py")
    return options


if __name__ == "__main__":
    main()
