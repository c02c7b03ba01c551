"""Prints what a verb has found: tables and colours for people, JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from kvtransfer.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

# What ends sooner needs no bar.
_BAR_AFTER_S = 2.0
_ANY_WIDTH = 1 << 16


def console_for(stream: TextIO) -> Console:
    """Return a console on ``stream``; what isn't a terminal has room for lines of any length."""
    width = None if stream.isatty() else _ANY_WIDTH
    return Console(file=stream, highlight=False, width=width)


class Output:
    """Writes results to standard output, and what is going on to standard error.

    Args:
        as_json: one JSON object a line, instead of tables.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._out = console_for(sys.stdout)
        self._err = console_for(sys.stderr)

    def objects(
        self,
        objects: Iterable[Mapping[str, object]],
        shown: Callable[[Mapping[str, object]], str],
        header: str = "",
    ) -> int:
        """Print each of ``objects`` as it comes: as JSON, or as the line that ``shown`` makes.

        On a terminal the ``header`` stands before the first. Returns how many there were.
        """
        number = 0
        for number, each in enumerate(objects, 1):
            if number == 1 and header and self._out.is_terminal and not self._as_json:
                self._out.print(Text(header, "bold"))
            self.line(json.dumps(each) if self._as_json else shown(each))
        return number

    def table(
        self,
        objects: Sequence[Mapping[str, object]],
        columns: Mapping[str, Callable[[Mapping[str, object]], str]],
        texts: int,
    ) -> None:
        """Print ``objects`` as JSON, or as the rows of a table with ``columns``, by their titles.

        The first ``texts`` columns are texts, the others numbers.
        """
        if self._as_json:
            self.objects(objects, json.dumps)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for number, title in enumerate(columns):
            table.add_column(title, justify="left" if number < texts else "right", overflow="fold")
        for each in objects:
            table.add_row(*(Text(printable(cell(each))) for cell in columns.values()))
        self._out.print(table)

    def facts(self, facts: Mapping[str, object], shown: Mapping[str, str | Text]) -> None:
        """Print ``facts`` as one JSON object, or ``shown`` as names with their values, one a line."""
        if self._as_json:
            self.line(json.dumps(facts))
            return
        widest = max(map(len, shown), default=0)
        for name, value in shown.items():
            text = value if isinstance(value, Text) else Text(printable(value))
            # The terminal wraps what is longer, so that it can be copied in one piece.
            self._out.print(Text(f"{name:<{widest}}  ").append(text), soft_wrap=True)

    def findings(self, findings: Sequence[Mapping[str, object]], colours: Sequence[str]) -> None:
        """Print what should be changed, and how, one finding after another."""
        if self._as_json:
            self.objects(findings, json.dumps)
            return
        for finding, colour in zip(findings, colours, strict=True):
            self._out.print(Text.assemble((f"{finding['level']}: ", colour), f"{finding['what']}"))
            self._out.print(Padding(Text(f"{finding['change']}"), (0, 0, 0, 4), expand=False))
        if not findings:
            self._out.print(Text("nothing to change", "green"))

    def tell(self, sentence: str) -> None:
        """Print ``sentence`` for people, who may not be reading standard output."""
        self._err.print(Text(sentence))

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show a bar on a terminal while the body runs; what it calls with a text says how far it is."""
        columns = (
            TextColumn(what),
            BarColumn(),
            TextColumn("{task.fields[done]}"),
            TimeElapsedColumn(),
        )
        bar = Progress(*columns, console=self._err, transient=True)
        task, began_s = bar.add_task("", total=None, done=""), time.monotonic()

        def tell(done: str) -> None:
            if sys.stderr.isatty() and time.monotonic() - began_s >= _BAR_AFTER_S:
                bar.start()
                bar.update(task, done=done)

        try:
            yield tell
        finally:
            if bar.live.is_started:  # else rich prints an empty line
                bar.stop()

    def line(self, text: str) -> None:
        """Print ``text`` on one line; a terminal wraps it, so that it can be copied in one piece."""
        self._out.print(text, markup=False, soft_wrap=True, crop=False)
