"""Pairs a setting's value with its source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """A setting's value, and the name of its source as a message shows it."""

    value: object
    source: str
