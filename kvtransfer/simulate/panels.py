"""Lays out panels that share their axes, with a title, a legend and what was assumed."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLOURS = ("#0b6e4f", "#c8553d", "#3d5a98", "#8e6c1f", "#6b4c8a")
_MOST_COLUMNS = 3
_PANEL_INCHES = 3.4, 2.5
_LEAST_INCHES = 7.2
_LINE_INCHES = 0.15
_SMALL, _LINE = 7.5, 1.3
"""Points of small text, and how far its lines are apart in heights of a letter."""
_CHARACTERS_AN_INCH = 15


class Panels:
    """A picture of ``count`` panels; ``each`` are matplotlib's axes, in reading order.

    Args:
        count: how many there are.
        title: of the picture.
        assumed: lines below the panels.
        share_y: whether all have the same vertical axis.
    """

    def __init__(
        self, count: int, title: str, assumed: Sequence[str], *, share_y: bool = True
    ) -> None:
        self._columns = columns = _columns(count)
        rows = math.ceil(count / columns)
        width = max(columns * _PANEL_INCHES[0], _LEAST_INCHES)
        lines = [
            part
            for line in assumed
            for part in textwrap.wrap(
                line, int(width * _CHARACTERS_AN_INCH), subsequent_indent="      "
            )
            or [""]
        ]
        below = (len(lines) + 1) * _LINE_INCHES
        height = rows * _PANEL_INCHES[1] + 0.9 + below
        rect = (0, below / height, 1, 1 - (below + 0.62) / height)
        layout = ConstrainedLayoutEngine(rect=rect, h_pad=0.08, w_pad=0.08)
        self._figure = Figure(figsize=(width, height), layout=layout)
        grid = self._figure.subplots(rows, columns, sharex=True, sharey=share_y, squeeze=False)
        self.each: list[Any] = list(grid.flat)[:count]
        for unused in list(grid.flat)[count:]:
            unused.remove()
        self._say(title, "\n".join(lines), height)
        for panel in self.each:
            _tidy(panel)

    def legend(self) -> None:
        """Name what has a label in any panel, above all panels."""
        named: dict[str, Any] = {}
        for panel in self.each:
            for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
                named.setdefault(name, handle)
        self._figure.legend(
            list(named.values()),
            list(named),
            loc="upper left",
            bbox_to_anchor=(0.008, 1 - 0.3 / self._figure.get_figheight()),
            ncols=len(named),
            frameon=False,
            fontsize="small",
            columnspacing=1.4,
        )

    def axes(self, x: str, y: str = "") -> None:
        """Name the axes below the last row and left of the first column."""
        for number, panel in enumerate(self.each):
            if number + self._columns >= len(self.each):
                panel.set_xlabel(x, fontsize="small")
            if number % self._columns == 0:
                panel.set_ylabel(y, fontsize="small")

    def save(self, path: Path) -> None:
        """Write the picture.

        Raises:
            ConfigError: the file can't be written.
        """
        try:
            self._figure.savefig(path, dpi=120)
        except OSError as error:
            raise ConfigError(f"--plot {path}: {error.strerror}") from None

    def _say(self, title: str, assumed: str, height: float) -> None:
        text = self._figure.text
        text(0.012, 1 - 0.08 / height, title, va="top", fontweight="bold", fontsize="large")
        text(
            0.012,
            0.06 / height,
            assumed,
            va="bottom",
            fontsize=_SMALL,
            color="0.3",
            linespacing=_LINE,
        )


def _columns(count: int) -> int:
    """As many as fill their rows, if that can be."""
    if count <= _MOST_COLUMNS:
        return count
    return 2 if count % 2 == 0 and count <= 4 else _MOST_COLUMNS


def _tidy(panel: Any) -> None:  # noqa: ANN401 - matplotlib has no types
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelbottom=True, labelleft=True, labelsize="small")
