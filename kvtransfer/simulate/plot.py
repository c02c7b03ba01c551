"""Plots hit rate over host memory, with a panel for each size of the tiers behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvtransfer.simulate.gibibytes import gibibytes, size
from kvtransfer.simulate.panels import COLOURS, Panels
from kvtransfer.simulate.replay import DISK, HOST, REMOTE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kvtransfer.simulate.assumptions import Assumptions
    from kvtransfer.simulate.grid import Machine, Outcome

_OPTIMUM = {"color": "0.6", "linestyle": "--", "linewidth": 1.2, "label": "optimum"}
_EXPLAINED = (
    "optimum: a cache that knows the future, with the room of all tiers together; disk and remote "
    "evict by LRU"
)


def draw(path: Path, outcomes: Sequence[Outcome], assumed: Assumptions) -> None:
    """Draw ``outcomes`` into the .png or .svg file ``path``.

    Raises:
        ConfigError: the file can't be written.
    """
    behind = list(dict.fromkeys((o.sizes.disk, o.sizes.remote) for o in outcomes))
    title = f"How much of the prompts is served: {assumed.recorded.name}"
    panels = Panels(len(behind), title, [*assumed.lines(), _EXPLAINED])
    for panel, tiers in zip(panels.each, behind, strict=True):
        alike = [o for o in outcomes if (o.sizes.disk, o.sizes.remote) == tiers]
        _draw_panel(panel, alike, assumed.machine)
    panels.legend()
    each = " of each engine" if assumed.instances > 1 else ""
    panels.axes(f"host memory{each}, GiB", "share of requested chunks served")
    panels.save(path)


def _draw_panel(panel: Any, outcomes: Sequence[Outcome], machine: Machine) -> None:  # noqa: ANN401 - matplotlib has no types
    by_host = sorted(outcomes, key=lambda outcome: outcome.sizes.host)
    first = [o for o in by_host if o.policy == outcomes[0].policy]
    piece_bytes = machine.piece_bytes(HOST)
    hosts = [gibibytes(o.sizes.host, piece_bytes) for o in first]
    panel.plot(hosts, [o.optimal_rate for o in first], **_OPTIMUM)
    policies = dict.fromkeys(outcome.policy for outcome in outcomes)
    for colour, policy in zip(COLOURS * len(policies), policies, strict=False):
        rates = [o.hit_rate for o in by_host if o.policy == policy]
        panel.plot(hosts, rates, color=colour, marker="o", markersize=4, label=policy)
    panel.set_title(_behind(outcomes[0], machine), fontsize="small", loc="left")
    panel.set_xscale("log")
    panel.set_xticks(hosts, [size(o.sizes.host, piece_bytes) for o in first])
    panel.minorticks_off()
    panel.set_ylim(bottom=0)
    panel.yaxis.set_major_formatter("{x:.0%}")


def _behind(outcome: Outcome, machine: Machine) -> str:
    sizes = {DISK: outcome.sizes.disk, REMOTE: outcome.sizes.remote}
    named = [
        f"{size(pieces, machine.piece_bytes(tier))} GiB {tier}"
        for tier, pieces in sizes.items()
        if pieces
    ]
    return f"host memory + {' + '.join(named)}" if named else "host memory alone"
