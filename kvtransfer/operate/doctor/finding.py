"""Defines what a check has found. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How much a finding matters; the most important level comes first."""

    BROKEN = 0
    """Nothing is served, or nothing is stored, until it is changed."""
    UNSAFE = 1
    """Somebody may read or change what they should not."""
    COSTLY = 2
    """Hits, speed or memory are lost."""
    NOTE = 3
    """Nothing is to be changed: an answer to a question."""


@dataclass(frozen=True)
class Finding:
    """Something that should be changed, or that was asked."""

    level: Level
    name: str
    """One word or two for programs, which stays the same between versions."""
    what: str
    """What was found, with the value."""
    change: str
    """What to do about it."""
