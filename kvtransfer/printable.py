"""Escapes text from servers and files, to quote it in a log or a message."""

from __future__ import annotations

MOST_CHARACTERS = 500


def printable(text: str, most: int = MOST_CHARACTERS) -> str:
    """``text`` on one line, cut after ``most`` characters.

    Line ends, terminal codes and characters that reorder text are escaped, so that a server or a
    file can't forge a line of the log.
    """
    shown = "".join([_escaped(character) for character in text[:most]])
    return shown if len(text) <= most else f"{shown}..."


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
