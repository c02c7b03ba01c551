"""What may stand on the command line of ``kvtransfer simulate``; anything else is one sentence."""

from __future__ import annotations

import math
import os
from argparse import ArgumentTypeError
from pathlib import Path

from kvtransfer.policies import OLD_NAMES, POLICIES
from kvtransfer.simulate.grid import chunks_in


def sizes(text: str) -> list[str]:
    """Sizes of a tier, each in GiB or as a share."""
    given = list(dict.fromkeys(text.split(",")))
    for size in given:
        try:
            chunks_in(size, 1, 1)
        except ValueError:
            raise ArgumentTypeError(
                f"{size!r} is no size; write GiB as in 64, or a share of all chunks as in 5%"
            ) from None
    return given


def policies(text: str) -> list[str]:
    """Names of policies, as they are written: :data:`kvtransfer.policies.OLD_NAMES` too."""
    given = list(dict.fromkeys(text.split(",")))
    for name in given:
        if name not in POLICIES and name not in OLD_NAMES:
            raise ArgumentTypeError(f"{name!r} is no policy; known are {', '.join(POLICIES)}")
    return given


def count(text: str) -> int:
    """A whole number above 0."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ArgumentTypeError(f"{text!r} is not above 0 and whole")
    return number


def rate(text: str) -> float:
    """A number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def chance(text: str) -> float:
    """A number from 0 to 1."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise ArgumentTypeError(f"{text!r} is no chance from 0 to 1")
    return number


def picture(text: str) -> Path:
    """A file that can be written, PNG or SVG by its ending."""
    path = Path(text)
    if path.suffix not in (".png", ".svg"):
        raise ArgumentTypeError(f"{text!r} ends neither with .png nor with .svg")
    place = path if path.exists() else path.parent
    if path.is_dir() or not path.parent.is_dir() or not os.access(place, os.W_OK):
        raise ArgumentTypeError(f"{text!r} can't be written; name a file in a folder of yours")
    return path


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
