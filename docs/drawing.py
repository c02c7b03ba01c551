"""Draws boxes, arrows and notes as SVG that reads on light and on dark pages, and loads nothing."""

from __future__ import annotations

from html import escape

# Colours by what a thing is; a page's own scheme decides which of the two sets is used.
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2933; }
.small { font-size: 11px; fill: #52606d; }
.title { font-weight: 600; }
rect, polygon { fill: #f5f7fa; stroke: #7b8794; stroke-width: 1.2; }
.device { fill: #e3e8fd; stroke: #4c63b6; }
.host { fill: #e3f8ef; stroke: #27836a; }
.store { fill: #fff3d6; stroke: #b7791f; }
.bad { fill: #fde4e4; stroke: #ba2525; }
line, path { stroke: #52606d; stroke-width: 1.4; fill: none; }
.head { fill: #52606d; stroke: none; }
@media (prefers-color-scheme: dark) {
 text { fill: #e4e7eb; }
 .small { fill: #b8c0cc; }
 rect, polygon { fill: #2b3440; stroke: #9aa5b1; }
 .device { fill: #28325e; stroke: #98aeeb; }
 .host { fill: #14463a; stroke: #65d6ad; }
 .store { fill: #513c06; stroke: #f0b429; }
 .bad { fill: #5c1a1a; stroke: #f29b9b; }
 line, path { stroke: #b8c0cc; }
 .head { fill: #b8c0cc; }
}"""


class Drawing:
    """A picture of ``width`` x ``height`` CSS pixels, with its ``title`` for those who can't see it."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = (width, height)
        self._title = title
        self._parts: list[str] = []

    def box(
        self, left: int, top: int, width: int, height: int, kind: str, title: str, *lines: str
    ) -> None:
        """Add a box with a centred ``title`` and smaller ``lines`` below it."""
        self._parts.append(
            f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{height}" rx="5"/>'
        )
        middle, spacing = left + width // 2, 15
        first = top + (height - spacing * len(lines)) // 2 + 5
        self.text(middle, first, title, "title", "middle")
        for number, line in enumerate(lines, 1):
            self.text(middle, first + spacing * number, line, "small", "middle")

    def cell(self, left: int, top: int, kind: str) -> None:
        """Add a small square, such as a block."""
        self._parts.append(
            f'<rect class="{kind}" x="{left}" y="{top}" width="14" height="14" rx="2"/>'
        )

    def text(self, x: int, y: int, said: str, kind: str = "", anchor: str = "start") -> None:
        """Add one line whose baseline is at ``y``."""
        shown = f' class="{kind}"' if kind else ""
        self._parts.append(
            f'<text{shown} x="{x}" y="{y}" text-anchor="{anchor}">{escape(said)}</text>'
        )

    def arrow(self, x: int, y: int, to_x: int, to_y: int) -> None:
        """Add a straight arrow, level or upright."""
        self._parts.append(f'<line x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}"/>')
        along_x, along_y = _sign(to_x - x), _sign(to_y - y)
        back_x, back_y = to_x - 7 * along_x, to_y - 7 * along_y
        left, right = (
            (back_x - 4 * along_y, back_y - 4 * along_x),
            (
                back_x + 4 * along_y,
                back_y + 4 * along_x,
            ),
        )
        corners = " ".join(f"{at_x},{at_y}" for at_x, at_y in ((to_x, to_y), left, right))
        self._parts.append(f'<polygon class="head" points="{corners}"/>')

    def line(self, x: int, y: int, to_x: int, to_y: int) -> None:
        """Add a line without a head."""
        self._parts.append(f'<line x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}"/>')

    def svg(self) -> str:
        """The picture as a file's text."""
        width, height = self._size
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img">'
        )
        body = [f"<title>{escape(self._title)}</title>", f"<style>\n{_STYLE}\n</style>"]
        return "\n".join([head, *body, *self._parts, "</svg>"]) + "\n"


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
