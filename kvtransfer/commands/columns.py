"""Chooses the columns of a table that a terminal has room for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.text import Text

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
