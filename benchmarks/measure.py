"""Measures in interleaved rounds, and writes rows of one schema as JSON and as a table."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Row:
    """One measurement; ratios are taken between rows of one ``case`` of one run."""

    bench: str
    case: str
    """The work, ``gather/cpu-attention/block32``."""
    impl: str
    """Who did it."""
    value: float
    """The median."""
    unit: str
    quantiles: tuple[float, float]
    """20 % and 80 %."""
    n: int
    bytes: int = 0
    """Of payload, moved by each repetition."""
    cpu_s_per_gb: float | None = None
    more: Mapping[str, float] = field(default_factory=dict)
    """Further figures of the same repetitions, by a name with its unit."""
    note: str = ""
    """What no figure says, such as why something is refused."""


@dataclass(frozen=True)
class Sample:
    """Holds what one repetition took."""

    wall_s: float
    cpu_s: float


def measured(work: Callable[[], object]) -> Sample:
    """``work`` once: wall and CPU seconds of this process."""
    cpu_s, wall_s = _cpu_s(), time.perf_counter()
    work()
    return Sample(time.perf_counter() - wall_s, _cpu_s() - cpu_s)


def interleaved(
    works: Mapping[str, Callable[[], object]],
    rounds: int,
    measured: Callable[[Callable[[], object]], Sample] = measured,
) -> dict[str, list[Sample]]:
    """``rounds`` samples of each work, in turns, after one round that doesn't count."""
    samples: dict[str, list[Sample]] = {name: [] for name in works}
    for round_ in range(rounds + 1):
        for name, work in works.items():
            sample = measured(work)
            if round_:
                samples[name].append(sample)
    return samples


def rate_row(bench: str, case: str, impl: str, samples: Sequence[Sample], nbytes: int) -> Row:
    """Make a row of GB/s, of repetitions that moved ``nbytes`` each."""
    rates = [nbytes / sample.wall_s / 1e9 for sample in samples]
    cpu_s_per_gb = median(sample.cpu_s for sample in samples) / nbytes * 1e9
    return _row(bench, case, impl, rates, "GB/s", nbytes, cpu_s_per_gb)


def seconds_row(bench: str, case: str, impl: str, seconds: Sequence[float], nbytes: int = 0) -> Row:
    """Make a row of seconds, one for each repetition."""
    return _row(bench, case, impl, seconds, "s", nbytes, None)


def ratio_row(bench: str, case: str, impl: str, ratios: Sequence[float]) -> Row:
    """Make a row of ratios, one for each repetition."""
    return _row(bench, case, impl, ratios, "x", 0, None)


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """The values at 20 % and 80 %, as they were measured."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[round(0.2 * last)], ordered[round(0.8 * last)]


def append_rows(path: Path, rows: Sequence[Row], card: str | None = None) -> None:
    """Append one JSON line for each row, with the commit, the machine and, where it took part, its GPU."""
    path.parent.mkdir(parents=True, exist_ok=True)
    context = {"commit": commit(), "machine": machine(), "time": int(time.time())}
    if card is not None:
        context["card"] = card
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({**asdict(row), **context}) + "\n")


def commit() -> str:
    """The commit measured, with ``+`` where the tree differs from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.check_output([*git, "rev-parse", "--short=12", "HEAD"], text=True)
        changes = subprocess.check_output([*git, "status", "--porcelain", "-uno"], text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.strip() + ("+" if changes.strip() else "")


def machine() -> str:
    """Kind of processor and number of cores, no name of the host."""
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def print_table(rows: Sequence[Row], baseline: str) -> None:
    """Print a table for each case, with each row's ratio to the row of ``baseline``."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    for case, group in groupby(rows, key=lambda row: row.case):
        members = list(group)
        base = next((row.value for row in members if row.impl == baseline), None)
        more = list(dict.fromkeys(name for row in members for name in row.more))
        columns = ("median", "20 %", "80 %", f"x {baseline}", "CPU s/GB", *more)
        table = Table("", *columns, box=None)
        for i, column in enumerate(table.columns):
            column.justify, column.min_width = ("right", 9) if i else ("left", 16)
        for row in members:
            others = [f"{row.more[name]:.3g}" if name in row.more else "" for name in more]
            table.add_row(*_cells(row, base), *others)
        console.print(f"\n[bold]{case}", table, sep="\n", highlight=False)


def _cells(row: Row, base: float | None) -> list[str]:
    low, high = row.quantiles
    ratio = f"{row.value / base:.2f}" if base else ""
    cpu = "" if row.cpu_s_per_gb is None else f"{row.cpu_s_per_gb:.2f}"
    return [f"  {row.impl}", f"{row.value:.3g} {row.unit}", f"{low:.3g}", f"{high:.3g}", ratio, cpu]


def _row(
    bench: str,
    case: str,
    impl: str,
    values: Sequence[float],
    unit: str,
    nbytes: int,
    cpu_s_per_gb: float | None,
) -> Row:
    spread = quantiles(values)
    return Row(bench, case, impl, median(values), unit, spread, len(values), nbytes, cpu_s_per_gb)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
