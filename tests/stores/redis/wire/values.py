"""Reads one value as a connection does."""

from __future__ import annotations


def read_value_into(parser, target):
    """True where the reply filled ``target``; otherwise what it was."""
    reply = parser.begin_value(len(target))
    if reply is True:
        parser.read_buffer.read_into(target)
        parser.read_buffer.purge()
    return reply
