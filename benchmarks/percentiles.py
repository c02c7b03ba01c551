"""Makes rows of the median and the 99th percentile."""

from __future__ import annotations

from statistics import quantiles
from typing import TYPE_CHECKING

from benchmarks.measure import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def percentile_rows(bench: str, case: str, impl: str, seconds: Sequence[float]) -> Iterator[Row]:
    """Yield the rows ``case/p50`` and ``case/p99``: the percentiles of ``seconds``."""
    cuts = quantiles(seconds, n=100, method="inclusive")  # never beyond what was measured
    for percent in (50, 99):
        spread = cuts[19], cuts[79]
        name = f"{case}/p{percent}"
        yield Row(bench, name, impl, cuts[percent - 1], "s", spread, len(seconds))
