"""Reads and writes amounts of bytes and of time as people write them. Pure."""

from __future__ import annotations

import re

_BYTES = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhdw])")


def bytes_text(nbytes: float) -> str:
    """``nbytes`` in the largest unit of which there is at least one, such as ``1.5 GiB``."""
    for unit, size in _BYTES:
        if nbytes >= size:
            return (
                f"{nbytes / size:.3g} {unit}"
                if nbytes < 1000 * size
                else f"{nbytes // size:.0f} {unit}"
            )
    return f"{nbytes:.0f} B"


def age_text(seconds: float) -> str:
    """``seconds`` in the largest unit of which there are at least two, such as ``36 h``."""
    for unit in ("d", "h", "m"):
        if seconds >= 2 * _SECONDS[unit]:
            return f"{seconds / _SECONDS[unit]:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def duration_s(text: str) -> float:
    """Read a duration such as ``90s``, ``12h`` or ``7d``.

    Raises:
        ValueError: it isn't one.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration; write a number and s, m, h, d or w, as in 7d")
    return float(match[1]) * _SECONDS[match[2]]
