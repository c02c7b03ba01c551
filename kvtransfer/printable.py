"""Text that comes from outside, as a log or a message may show it."""

from __future__ import annotations

MOST_CHARACTERS = 500


def printable(text: str, most: int = MOST_CHARACTERS) -> str:
    """``text`` on one line, cut after ``most`` characters.

    Line ends, terminal codes and marks that reorder text are escaped: what a server or a file says
    can't pass for a line of the log.
    """
    shown = "".join([_escaped(character) for character in text[:most]])
    return shown if len(text) <= most else f"{shown}..."


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
