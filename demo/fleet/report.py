"""Prints what the users of the fleet noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from demo.fleet.outcome import Outcome, Phase

_MEANINGS = """\
failed    no answer after the router's own retries
wrong     not what vLLM without a cache answers
hit rate  share of prompt tokens that were not computed
restored  tokens that came through kvtransfer, as Prometheus counted them"""


def print_outcome(console: Console, outcome: Outcome) -> int:
    """Print the table and whether all is well; return the exit status."""
    console.print("", table(outcome), Text(_MEANINGS, style="dim"), sep="\n")
    console.print(Text(f"The router sent {outcome.retries} requests again.", style="dim"))
    problems = outcome.problems()
    for problem in problems:
        console.print(Text(problem, style="bold red"))
    if not problems:
        requests = outcome.to_json()["requests"]
        console.print(
            Text(f"\nAll {requests} requests were answered, and rightly.", style="bold green")
        )
    return 1 if problems else 0


def table(outcome: Outcome) -> Table:
    """Make a row for each phase."""
    shown = Table(
        title="What the users of the router saw",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title_justify="left",
        title_style="bold",
    )
    shown.add_column("failures", no_wrap=True)
    for name in ("seconds", "requests", "failed", "wrong", "hit rate", "restored"):
        shown.add_column(name, justify="right", no_wrap=True)
    for name, phase in outcome.phases.items():
        shown.add_row(name, *_cells(phase))
    return shown


def _cells(phase: Phase) -> list[str]:
    restored = phase.restored_tokens
    return [
        f"{phase.seconds:.0f}",
        str(len(phase.replies)),
        str(phase.failed),
        str(phase.wrong),
        f"{phase.hit_rate:.0%}",
        "no Prometheus" if restored is None else f"{restored:,.0f}",
    ]
