"""Formats rows as plain text, for a machine without rich."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from benchmarks.bench_dma import CEILING
from benchmarks.gpu import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Row

DECODE_AIMS = {
    decode.TRICKLED_SAVES: 1.05,
    decode.STAGED_SAVES: 1.05,
    decode.STAGED_LOADS: 1.05,
    "beside plain saves": None,
    "beside plain loads": None,
}

# The row that others of its case are measured against.
BASES = ("memcpy", CEILING, "big copies both ways", "alone", "save + load + compute")


def text(rows: Sequence[Row]) -> str:
    """A block for each case; each row with its ratio to the case's base, where there is one."""
    lines = []
    for (bench, case), group in groupby(rows, key=lambda row: (row.bench, row.case)):
        members = list(group)
        base = next((row.value for row in members if row.impl in BASES), None)
        lines.append(f"\n{bench}: {case}")
        for row in members:
            ratio = "" if base is None else f"{row.value / base:7.3f} x"
            low, high = row.quantiles
            lines.append(
                f"  {row.impl:<24}{row.value:12.4g} {row.unit:<5}{ratio:>10}"
                f"   [{low:.4g}, {high:.4g}]"
            )
    return "\n".join(lines)


def targets(rows: Sequence[Row]) -> str:
    """Format each target beside what was measured."""
    value = {(row.case, row.impl): row.value for row in rows}
    together = "save + load + compute"
    longest = max(value[together, name] for name in ("save", "load", "compute"))
    found = [
        ("kernel / device copy, the worst", 0.85, _worst(rows, "paged_copy", "memcpy")),
        ("staged / plain pinned copy, the worst", 0.92, _worst(rows, "dma", CEILING)),
        (
            "both ways / both ways by plain copies",
            0.85,
            value["both ways", "both ways"] / value["both ways", "big copies both ways"],
        ),
        ("all at once / the longest alone", None, value[together, "all at once"] / longest),
        *(
            (f"decode p99 {name} / alone", aim, value["p99", name] / value["p99", "alone"])
            for name, aim in DECODE_AIMS.items()
        ),
    ]
    return "\n".join(
        f"  {what:<40}{ratio:8.3f}   {'' if aim is None else f'aim {aim}'}"
        for what, aim, ratio in found
    )


def _worst(rows: Sequence[Row], bench: str, base: str) -> float:
    """Over the cases, of our best row to the base's."""
    ratios = []
    for _, group in groupby([row for row in rows if row.bench == bench], key=lambda row: row.case):
        members = {row.impl: row.value for row in group}
        ours = [
            value
            for name, value in members.items()
            if name.startswith("kvtransfer") or name == "staged"
        ]
        ratios.append(max(ours) / members[base])
    return min(ratios)
