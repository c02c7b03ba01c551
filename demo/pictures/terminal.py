"""Runs a command in a terminal of a given size, and returns what a person sees there."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from itertools import groupby
from typing import TYPE_CHECKING

import pyte
from rich.style import Style
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MOST_LINES = 70
_COLOURS = {"brown": "yellow", "default": None}
"""What rich calls the colours of pyte, where they differ."""


def screen_of(
    command: Sequence[str], columns: int, folder: Path, environment: Mapping[str, str]
) -> list[Text]:
    """Run ``command`` to its end in ``folder``; return the lines of its terminal, in colour.

    Args:
        command: the program and its arguments.
        columns: how wide the terminal is; it has 70 lines, and those that stay empty are left out.
        folder: where it runs.
        environment: variables to add to those of this process.
    """
    screen = pyte.Screen(columns, _MOST_LINES)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _MOST_LINES, columns, 0, 0))
    terminal = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(_MOST_LINES)}
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environment, **terminal},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        while read := _read(ours):
            stream.feed(read)
    os.close(ours)
    return _without_empty_end([_line(screen, number) for number in range(_MOST_LINES)])


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux says so when the last process has closed its end
        return b""


def _line(screen: pyte.Screen, number: int) -> Text:
    text = Text(no_wrap=True)
    row = [screen.buffer[number][column] for column in range(screen.columns)]
    for style, alike in groupby(row, _style):
        text.append("".join(seen.data for seen in alike), style)
    text.rstrip()
    return text


def _style(seen: pyte.screens.Char) -> Style:
    return Style(color=_colour(seen.fg), bold=seen.bold, italic=seen.italics)


def _colour(name: str) -> str | None:
    if name in _COLOURS:
        return _COLOURS[name]
    return name.replace("bright", "bright_") if name.isalpha() else f"#{name}"


def _without_empty_end(lines: list[Text]) -> list[Text]:
    while lines and not lines[-1].plain:
        lines.pop()
    return lines
