"""Prints rows with their assumptions: as JSON, as CSV, or as a table for people."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.table import Table

_FILE_WIDTH = 120
_BAR_AFTER_S = 2.0


def print_json(values: Mapping[str, object]) -> None:
    """Print one object."""
    print(json.dumps(values, indent=1))


def print_csv(assumed: Mapping[str, object], rows: Sequence[Mapping[str, object]]) -> None:
    """Print a line for each of ``rows``, each with all that is ``assumed``."""
    writer = csv.DictWriter(sys.stdout, [*rows[0], *assumed], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **assumed} for row in rows)


def print_table(assumed: Sequence[str], shown: Table, below: str) -> None:
    """Print what is assumed, the table and the text ``below`` it."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    for part in ("\n".join(assumed), "", shown, "", below):
        console.print(part, highlight=False, markup=False)


def check_drawing() -> None:
    """See that pictures can be drawn, before any work is done.

    Raises:
        ConfigError: they can't.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"--plot needs {error.name}: pip install '.[simulate]', or leave out --plot"
        ) from None


@contextmanager
def progress(what: str, steps: int) -> Iterator[Callable[[], None]]:
    """Show a bar on standard error while the body runs, if it takes seconds.

    Args:
        what: is done.
        steps: how often the body will call what it gets.
    """
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(transient=True, console=Console(stderr=True))
    task, began_s = bar.add_task(what, total=steps), monotonic()

    def advance() -> None:
        bar.advance(task)
        is_due = sys.stderr.isatty() and monotonic() - began_s >= _BAR_AFTER_S
        if is_due and not bar.live.is_started:
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
