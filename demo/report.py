"""What a person sees: a line for each stage while it runs, then the figures."""

from __future__ import annotations

import time
from contextlib import contextmanager
from statistics import median_low
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.engine import Answer
    from demo.entry import Entry
    from demo.outcome import Outcome

_MB = 1e6
_LABEL_COLUMNS = 62

WAYS = {
    "cold": "computed, by vLLM alone",
    "restored": "restored from Redis, by a new process",
    "local_hit": "found in its own prefix cache",
}


class Screen:
    """Prints to ``console``; where that is no terminal, nothing moves or is coloured."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, label: str) -> Iterator[Callable[[str], None]]:
        """Show that ``label`` is under way, then how long it took; call the result with details."""
        began_s = time.monotonic()
        with self._spinner() as progress:
            task = progress.add_task(label, total=None)
            yield lambda detail: progress.update(task, description=f"{label}: {detail}")
        self.say(f"  ok  {label:<{_LABEL_COLUMNS}} {time.monotonic() - began_s:4.0f}s")

    def say(self, line: str = "") -> None:
        """A line as it is."""
        self._console.print(line, markup=False, highlight=False)

    def figures(self, outcome: Outcome) -> None:
        """The table: time to first token three ways."""
        self._console.print(ttft_table(outcome))

    def exchange(self, title: str, question: str, answer: str) -> None:
        """One question and what the model said, as restored."""
        self.say(f"Asked about a passage of {title}: {question}")
        self._console.print(Text(f"“{answer}”", style="italic"))

    def entry(self, entry: Entry) -> None:
        """One entry of Redis, in the words of its own client."""
        self.say(f"One of {entry.entries} entries, as Redis shows it:")
        self._command(f"HGETALL {entry.key}")
        grid = Table.grid(padding=(0, 2))
        for name, value in entry.fields.items():
            grid.add_row(f"  {name}", Text(value))
        self._console.print(grid)
        self._command(f"STRLEN {entry.key}_bytes")
        self.say(f"  {entry.payload_bytes}")

    def verdict(self, outcome: Outcome) -> int:
        """Say whether all is well; returns the exit status."""
        problems = outcome.problems()
        for problem in problems:
            self._console.print(Text(problem, style="bold red"))
        if not problems:
            self._console.print(Text(_all_is_well(outcome), style="bold green"))
        return 1 if problems else 0

    def _command(self, words: str) -> None:
        # Longer than a narrow terminal, and to be copied whole: wrapped by the terminal, not by us.
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
    """A row for each way: medians, and between which values they lie."""
    table = Table(title=_title(outcome), title_justify="left", title_style="bold")
    table.add_column("the context's KV cache was")
    for name in ("TTFT s", "(range)", "speed-up", "reused", "computed", "MB moved"):
        table.add_column(name, justify="right", no_wrap=True)
    for way, meaning in WAYS.items():
        speed_up = outcome.ttft_s("cold") / outcome.ttft_s(way)
        table.add_row(meaning, *_cells(outcome.answers(way), outcome.ttft_s(way), speed_up))
    return table


def _title(outcome: Outcome) -> str:
    runs = len(outcome.runs)
    spread = f"median of {runs} texts" if runs > 1 else "one text"
    return (
        f"Time to first token (TTFT): the same question about {outcome.context_tokens:,} tokens "
        f"of context, {spread}"
    )


def _cells(answers: list[Answer], ttft_s: float, speed_up: float) -> list[str]:
    spread_s = sorted(answer.ttft_s for answer in answers)
    typical = answers[0]
    fetched_bytes = median_low(answer.fetched_bytes for answer in answers)
    return [
        f"{ttft_s:.2f}",
        f"({spread_s[0]:.2f}-{spread_s[-1]:.2f})",
        f"{speed_up:.1f}x",
        f"{typical.restored_tokens + typical.local_tokens:,}",
        f"{typical.computed_tokens:,}",
        f"{fetched_bytes / _MB:.1f}",
    ]


def _all_is_well(outcome: Outcome) -> str:
    tokens = sum(len(run.cold.token_ids) for run in outcome.runs)
    return (
        f"Identical: {tokens} answer tokens of {len(outcome.runs)} prompts are the same, token by "
        "token, computed by vLLM alone, restored from Redis, and found in its own prefix cache."
    )
