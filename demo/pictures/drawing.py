"""Draws lines of a terminal as an SVG that needs nothing from elsewhere."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

_LINE_HEIGHT = 24.4
"""As rich has it, for its letters of 20 pixels."""
_MARGIN = 14
_THEME = TerminalTheme(
    (23, 27, 34),
    (222, 226, 233),
    [
        (23, 27, 34),
        (240, 112, 112),
        (126, 201, 126),
        (229, 192, 100),
        (120, 170, 240),
        (212, 140, 230),
        (100, 200, 205),
        (222, 226, 233),
    ],
    [
        (134, 142, 156),
        (255, 140, 140),
        (150, 225, 150),
        (245, 215, 130),
        (150, 195, 255),
        (230, 165, 245),
        (130, 225, 230),
        (255, 255, 255),
    ],
)
# rich's own format asks the web for a font. Each piece of text has the width that its columns take,
# so that columns stand in line with any font.
_FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {room}">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", ui-monospace, Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; white-space: pre; }}
{styles}
</style>
<defs>{lines}</defs>
<rect fill="#171b22" width="{width}" height="{room}" rx="10"/>
<g transform="translate(9, 12)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def drawn(command: str, lines: Sequence[Text], columns: int) -> str:
    """Return the SVG of ``command``, as a person types it, and of the ``lines`` that it has printed."""
    console = Console(
        record=True, width=columns, file=io.StringIO(), force_terminal=True, highlight=False
    )
    console.print(Text.assemble(("$ ", "green"), (command, "bold")), soft_wrap=True)
    console.print()
    for line in lines:
        console.print(line, soft_wrap=True)
    room = round((len(lines) + 2) * _LINE_HEIGHT + 2 * _MARGIN)
    return console.export_svg(
        title="", theme=_THEME, code_format=_FORMAT.replace("{room}", f"{room}")
    )
