"""Hit rate over host memory, a line for each policy, beside the optimum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.simulate.table import gibibytes, size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kvtransfer.simulate.grid import Machine, Outcome

_COLOURS = ("#0b6e4f", "#c8553d", "#3d5a98", "#8e6c1f", "#6b4c8a")
_STYLES = ("-", "--", ":", "-.")


def draw(path: Path, outcomes: Sequence[Outcome], machine: Machine) -> None:
    """Into ``path``, PNG or SVG by its ending.

    Raises:
        ConfigError: matplotlib is not installed, or the file can't be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("drawing needs matplotlib: pip install 'kvtransfer[simulate]'") from None
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    behind = sorted({(o.sizes.disk, o.sizes.remote) for o in outcomes})
    for style, tiers in zip(_STYLES * len(behind), behind, strict=False):
        alike = [o for o in outcomes if (o.sizes.disk, o.sizes.remote) == tiers]
        _lines(axes, alike, machine.chunk_bytes, style)
    axes.set_xlabel("host memory, GiB")
    axes.set_ylabel("chunks restored of those asked for")
    axes.set_xscale("log")
    ticks = {
        gibibytes(o.sizes.host, machine.chunk_bytes): size(o.sizes.host, machine.chunk_bytes)
        for o in outcomes
    }
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="best")
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def _lines(axes: object, outcomes: Sequence[Outcome], chunk_bytes: int, style: str) -> None:
    behind = _behind(outcomes[0], chunk_bytes)
    rates = {o.sizes.host: o.optimal_rate for o in outcomes}
    hosts = sorted(rates)
    lines = {"optimum": [rates[host] for host in hosts]}
    for policy in dict.fromkeys(outcome.policy for outcome in outcomes):
        by_size = {o.sizes.host: o.hit_rate for o in outcomes if o.policy == policy}
        lines[policy] = [by_size[host] for host in hosts]
    xs = [gibibytes(host, chunk_bytes) for host in hosts]
    for colour, (name, values) in zip(("0.45", *_COLOURS), lines.items(), strict=False):
        axes.plot(xs, values, style, color=colour, marker="o", markersize=4, label=name + behind)  # type: ignore[attr-defined]


def _behind(outcome: Outcome, chunk_bytes: int) -> str:
    sizes = {"disk": outcome.sizes.disk, "remote": outcome.sizes.remote}
    return "".join(
        f" + {size(chunks, chunk_bytes)} GiB {tier}" for tier, chunks in sizes.items() if chunks
    )
