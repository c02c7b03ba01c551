"""Reads one value as a connection does."""

from __future__ import annotations


def read_value_into(parser, target):
    """True where the reply filled ``target``; otherwise what it was."""
    reply = parser.begin_value(len(target))
    if reply is True:
        parser.window.read_into(target)
        parser.window.purge()
    return reply
