"""Makes tables of the columns that a terminal has room for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Row = TypeVar("Row")

_BETWEEN = 2
"""Spaces between two columns."""


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of numbers."""

    title: str
    """Shown above it, on two lines if it has a line end."""
    width: int
    """The most characters that it usually takes, so that a live table keeps still."""
    leaves: int
    """Where room is short, the column with the highest number is left out first; 0 stays."""
    cell: Callable[[Row], Text]
    """What it shows of a row."""

    @property
    def name(self) -> str:
        """What a sentence calls it: the first line of the title."""
        return self.title.partition("\n")[0]


def that_fit(
    columns: Sequence[Column[Row]], room: int
) -> tuple[list[Column[Row]], list[Column[Row]]]:
    """Return the columns that ``room`` characters hold, in their order, and those left out."""
    shown = list(columns)
    for column in sorted(columns, key=lambda column: -column.leaves):
        if sum(each.width + _BETWEEN for each in shown) <= room or not column.leaves:
            break
        shown.remove(column)
    return shown, [column for column in columns if column not in shown]


def fitted(
    first: str, columns: Sequence[Column[Row]], rows: Sequence[tuple[str, Row]], width: int
) -> tuple[Table, list[Column[Row]]]:
    """Make a table of named ``rows`` in ``width`` characters; return also the columns left out.

    The names stand below ``first``. They take half of the width at most, and are folded where they
    are longer.
    """
    widest = min(max((cell_len(name) for name, _ in rows), default=0), width // 2)
    shown, left_out = that_fit(columns, width - max(widest, len(first)))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold", vertical="bottom")
    for column in shown:
        table.add_column(column.title, justify="right", no_wrap=True, min_width=column.width)
    for name, row in rows:
        table.add_row(Text(name), *(column.cell(row) for column in shown))
    return table, left_out


def named_below(left_out: Sequence[Column[Row]]) -> list[Text]:
    """Make a line that names the columns left out, if there are any."""
    names = ", ".join(column.name for column in left_out)
    return [Text(f"a wider terminal shows also: {names}", "dim")] if left_out else []
