"""Plots hit rate over host memory, with a panel for each size of the tiers behind it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from kvtransfer.errors import ConfigError
from kvtransfer.simulate.replay import DISK, HOST, REMOTE
from kvtransfer.simulate.table import gibibytes, size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kvtransfer.simulate.grid import Machine, Outcome

_COLOURS = ("#0b6e4f", "#c8553d", "#3d5a98", "#8e6c1f", "#6b4c8a")
_OPTIMUM = {"color": "0.6", "linestyle": "--", "label": "optimum"}
_MOST_COLUMNS = 3
_PANEL_INCHES = 3.4, 2.6
_AROUND_INCHES = 1.8, 1.4
"""Room beside and above the panels for labels, title, legend and assumptions."""


def draw(path: Path, outcomes: Sequence[Outcome], machine: Machine, trace: str) -> None:
    """Draw ``outcomes`` of the trace named ``trace`` into the .png or .svg file ``path``.

    Raises:
        ConfigError: the file can't be written.
    """
    behind = list(dict.fromkeys((o.sizes.disk, o.sizes.remote) for o in outcomes))
    columns = min(math.ceil(math.sqrt(len(behind))), _MOST_COLUMNS)
    rows = math.ceil(len(behind) / columns)
    inches = [
        count * panel + around
        for count, panel, around in zip((columns, rows), _PANEL_INCHES, _AROUND_INCHES, strict=True)
    ]
    figure = Figure(figsize=(max(inches[0], 7), inches[1]), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for panel, tiers in zip(panels, behind, strict=False):
        alike = [o for o in outcomes if (o.sizes.disk, o.sizes.remote) == tiers]
        _draw_panel(panel, alike, machine)
    for panel in panels[len(behind) :]:
        panel.remove()
    _explain(figure, panels[0], outcomes[0], machine, trace)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def _draw_panel(panel: Any, outcomes: Sequence[Outcome], machine: Machine) -> None:  # noqa: ANN401 - matplotlib has no types
    by_host = sorted(outcomes, key=lambda outcome: outcome.sizes.host)
    first = [o for o in by_host if o.policy == outcomes[0].policy]
    piece_bytes = machine.piece_bytes(HOST)
    hosts = [gibibytes(o.sizes.host, piece_bytes) for o in first]
    panel.plot(hosts, [o.optimal_rate for o in first], **_OPTIMUM)
    policies = dict.fromkeys(outcome.policy for outcome in outcomes)
    for colour, policy in zip(_COLOURS * len(policies), policies, strict=False):
        rates = [o.hit_rate for o in by_host if o.policy == policy]
        panel.plot(hosts, rates, color=colour, marker="o", markersize=4, label=policy)
    panel.set_title(_behind(outcomes[0], machine), fontsize="medium")
    panel.set_xscale("log")
    panel.set_xticks(hosts, [size(o.sizes.host, piece_bytes) for o in first], rotation=45)
    panel.minorticks_off()
    panel.set_ylim(bottom=0)
    panel.yaxis.set_major_formatter("{x:.0%}")
    panel.tick_params(labelbottom=True)
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)


def _explain(figure: Figure, panel: Any, outcome: Outcome, machine: Machine, trace: str) -> None:  # noqa: ANN401 - see above
    figure.suptitle(f"Hit rate by cache size: {trace}", fontweight="bold")
    figure.supylabel("share of requested chunks served", fontsize="medium")
    figure.supxlabel(
        "host memory, GiB\n"
        f"{outcome.requests:,} requests, one after another; {outcome.chunks:,} chunks of "
        f"{machine.chunk_tokens} tokens, {machine.chunk_bytes / 2**20:.4g} MiB each.\n"
        "Disk and remote evict by LRU. The optimum is offline, with the room of all tiers together.",
        fontsize="small",
    )
    named = panel.get_legend_handles_labels()
    figure.legend(*named, loc="outside right upper", frameon=False)


def _behind(outcome: Outcome, machine: Machine) -> str:
    sizes = {DISK: outcome.sizes.disk, REMOTE: outcome.sizes.remote}
    named = [
        f"{size(pieces, machine.piece_bytes(tier))} GiB {tier}"
        for tier, pieces in sizes.items()
        if pieces
    ]
    return f"host memory and {', '.join(named)}" if named else "host memory alone"
