"""Parses the values of ``kvtransfer simulate``'s options, and refuses them in one sentence."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from kvtransfer.chunks.encoded_size import CODECS
from kvtransfer.chunks.reach import Everything, LocalChunks, State, Window
from kvtransfer.policies import OLD_NAMES, POLICIES
from kvtransfer.simulate.grid import pieces_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kvtransfer.chunks.reach import Reach

_GROUP = re.compile(
    r"(?:(?P<whole>full|state)|(?P<part>window|local):(?P<tokens>[1-9][0-9]*))"
    r"(?:\*(?P<count>[1-9][0-9]?))?"
)

_CACHE_DTYPES = {
    "auto": None,
    "bfloat16": "bfloat16",
    "float16": "float16",
    "float32": "float32",
    "fp8": "float8_e4m3fn",
}


def sizes(text: str) -> list[str]:
    """Sizes of a tier, separated by commas, each in GiB or as a share of the trace's chunks."""
    given = list(dict.fromkeys(text.split(",")))
    for size in given:
        try:
            pieces_in(size, 1, 1)
        except ValueError:
            raise ValueError(
                f"{size!r} is not a size; write GiB as in 64, or a share of all chunks as in 5%"
            ) from None
    return given


def policies(text: str) -> list[str]:
    """Names of policies, separated by commas; old names are returned as they are."""
    given = list(dict.fromkeys(text.split(",")))
    for name in given:
        if name not in POLICIES and name not in OLD_NAMES:
            raise ValueError(f"{name!r} is not a policy; known are {', '.join(POLICIES)}")
    return given


def reaches(text: str) -> tuple[Reach, ...]:
    """Cache groups, separated by commas: a kind, ``:`` and its tokens, ``*`` and how many there are."""
    found: list[Reach] = []
    for group in text.split(","):
        match = _GROUP.fullmatch(group)
        if match is None:
            raise ValueError(
                f"{group!r} is no cache group; write full, state, window:TOKENS or local:TOKENS, "
                "and *N for N of them, as in full,window:1024*6"
            )
        found += [_reach(match)] * int(match["count"] or 1)
    return tuple(found)


def count(text: str) -> int:
    """A whole number above 0."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError(f"{text!r} is not a whole number above 0")
    return number


def rate(text: str) -> float:
    """A number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise ValueError(f"{text!r} is not a number above 0")
    return number


def rates(text: str) -> tuple[float, ...]:
    """Numbers above 0, separated by commas."""
    return tuple(dict.fromkeys(rate(number) for number in text.split(",")))


def prefill_rates(text: str) -> tuple[tuple[float, int], ...]:
    """Tokens a second, and of how long a prompt: ``RATE``, or ``RATE@TOKENS`` twice.

    The length is 0 where none is given.
    """
    found = []
    for each in text.split(","):
        speed, at, tokens = each.partition("@")
        found.append((rate(speed), count(tokens) if at else 0))
    lengths = {tokens for _, tokens in found}
    if len(found) > 2 or (len(found) == 2 and (0 in lengths or len(lengths) == 1)):
        raise ValueError(
            f"{text!r} is neither a number above 0 nor two of them at different lengths, as in "
            "20000@2048,13500@32768"
        )
    return tuple(found)


def codecs(text: str) -> tuple[str, ...]:
    """Names of codecs, separated by commas."""
    given = tuple(dict.fromkeys(text.split(",")))
    for name in given:
        if name not in CODECS:
            raise ValueError(f"{name!r} is no codec; known are {', '.join(CODECS)}")
    return given


def cache_dtype(text: str) -> str | None:
    """The torch dtype of keys and values, by vLLM's name; None: the model's own."""
    if text not in _CACHE_DTYPES:
        raise ValueError(f"{text!r} is not known; known are {', '.join(_CACHE_DTYPES)}")
    return _CACHE_DTYPES[text]


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """What reads one of ``names``."""
    known = tuple(names)

    def read(text: str) -> str:
        if text not in known:
            raise ValueError(f"{text!r} is not known; known are {', '.join(known)}")
        return text

    return read


def chance(text: str) -> float:
    """A probability, from 0 to 1."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise ValueError(f"{text!r} is not a probability from 0 to 1")
    return number


def picture(text: str) -> Path:
    """The path of a .png or .svg file that can be written."""
    path = Path(text)
    if path.suffix not in (".png", ".svg"):
        raise ValueError(f"{text!r} does not end with .png or .svg")
    place = path if path.exists() else path.parent
    if path.is_dir() or not path.parent.is_dir() or not os.access(place, os.W_OK):
        raise ValueError(
            f"{text!r} can't be written; name a file in a folder that you can write to"
        )
    return path


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _reach(group: re.Match[str]) -> Reach:
    if group["whole"]:
        return Everything() if group["whole"] == "full" else State()
    tokens = int(group["tokens"])
    return Window(tokens) if group["part"] == "window" else LocalChunks(tokens)
