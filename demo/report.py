"""Prints the demo: a line for each stage as it runs and ends, then the figures."""

from __future__ import annotations

import time
from contextlib import contextmanager
from statistics import median_low
from typing import TYPE_CHECKING, Any

from rich import box
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from demo.engine import Answer
    from demo.entry import Entry
    from demo.outcome import Outcome

WAYS = {
    "cold": ("cold", "vLLM without kvtransfer computes the whole prompt"),
    "restored": (
        "restored",
        "a new vLLM process finds what another one left in Redis",
    ),
    "local_hit": ("local hit", "the same process asked again: vLLM's own prefix cache serves"),
}
_PLAIN: dict[str, Any] = {
    "box": box.SIMPLE_HEAD,
    "pad_edge": False,
    "title_justify": "left",
    "title_style": "bold",
    "caption_justify": "left",
    "caption_style": "dim",
}
_MB = 1e6
_LABEL_COLUMNS = 58


class Screen:
    """Prints to ``console``, without spinner and colour if that is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, label: str) -> Iterator[Callable[[str], None]]:
        """Show that ``label`` is under way, then how long it took; the caller may add details."""
        began_s = time.monotonic()
        with self._spinner() as progress:
            task = progress.add_task(label, total=None)
            yield lambda detail: progress.update(task, description=f"{label}: {detail}")
        self._say(f"  ok  {label:<{_LABEL_COLUMNS}} {time.monotonic() - began_s:4.0f}s")

    def figures(self, outcome: Outcome) -> None:
        """Print the table of times to first token."""
        self._console.print("", ttft_table(outcome), sep="\n")

    def exchange(self, title: str, question: str, answer: str) -> None:
        """Print one question and the model's answer."""
        self._say(f"\nAsked about a passage of {title}: {question}")
        self._say(f"“{answer}”", style="italic")

    def entry(self, entry: Entry) -> None:
        """Print one chunk in Redis as the commands and replies of its own client."""
        self._say(f"\nOne of the {entry.entries} chunks in Redis:")
        self._command(f"HGETALL {entry.key}")
        widest = max(map(len, entry.fields), default=0)
        for name, value in entry.fields.items():
            self._say(f"  {name:<{widest}}  {value}")
        self._command(f"STRLEN {entry.key}_bytes")
        self._say(f"  {entry.payload_bytes}")

    def verdict(self, outcome: Outcome) -> int:
        """Print whether all is well; return the exit status."""
        problems = outcome.problems()
        for problem in problems:
            self._say(problem, style="bold red")
        if not problems:
            self._say(f"\n{_all_is_well(outcome)}", style="bold green")
        return 1 if problems else 0

    def _say(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style=style))

    def _command(self, words: str) -> None:
        # The user may copy the command, so the terminal wraps it, not we.
        self._console.print(Text(f"> {words}", style="bold"), soft_wrap=True)

    def _spinner(self) -> Progress:
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )


def ttft_table(outcome: Outcome) -> Table:
    """Make a row for each way: its median time, the range, and what was reused and computed."""
    table = Table(
        title=f"Time to first token (TTFT) of {outcome.prompt_tokens:,} prompt tokens",
        caption="\n".join(f"{name}: {meaning}" for name, meaning in WAYS.values()),
        **_PLAIN,
    )
    table.add_column(no_wrap=True)
    for name in ("TTFT s", "min-max", "speed-up", "reused", "computed", "MB moved"):
        table.add_column(name, justify="right", no_wrap=True)
    for way, (name, _) in WAYS.items():
        speed_up = outcome.ttft_s("cold") / outcome.ttft_s(way)
        table.add_row(
            name, f"{outcome.ttft_s(way):.2f}", *_cells(outcome.answers(way), f"{speed_up:.1f}x")
        )
    return table


def _cells(answers: list[Answer], speed_up: str) -> list[str]:
    spread_s = sorted(answer.ttft_s for answer in answers)
    reused_tokens = median_low(a.restored_tokens + a.local_tokens for a in answers)
    fetched_bytes = median_low(answer.fetched_bytes for answer in answers)
    return [
        f"{spread_s[0]:.2f}-{spread_s[-1]:.2f}",
        speed_up,
        f"{reused_tokens:,}",
        f"{median_low(answer.computed_tokens for answer in answers):,}",
        f"{fetched_bytes / _MB:.1f}",
    ]


def _all_is_well(outcome: Outcome) -> str:
    tokens = sum(len(run.cold.token_ids) for run in outcome.runs)
    prompts = "one prompt" if len(outcome.runs) == 1 else f"{len(outcome.runs)} prompts"
    return (
        f"Identical: {tokens} answer tokens to {prompts} are the same, token by token, "
        "computed by vLLM alone, restored from Redis and found in vLLM's own cache."
    )
