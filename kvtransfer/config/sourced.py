"""A setting's value, with the place it comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """A setting's value, and what its reader calls the place it stands in."""

    value: object
    source: str
