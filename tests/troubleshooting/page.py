"""What ``docs/troubleshooting.md`` quotes."""

from __future__ import annotations

import re
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")

MESSAGES = dict(re.findall(r"^### (.+)\n\n```output\n(.*)\n```$", TEXT, re.MULTILINE))
"""The quoted line, by the heading above it."""

CAUSES = re.findall(r"^\| `([^`]+)` \|", TEXT, re.MULTILINE)
"""Why a store fails, in the order of the table."""

SHARED = re.findall(r"^\| ([^|`][^|]*) \| (yes|no)\b[^|]*\|$", TEXT, re.MULTILINE) + re.findall(
    r"^\| (`(?:chunk_size|cache_salt)[^|]*) \| (yes|no)\b[^|]*\|$", TEXT, re.MULTILINE
)
"""What two engines may differ in, and whether it must be equal."""


def agrees(said: str, quoted: str) -> bool:
    """Whether ``said`` is what the page quotes: "..." stands for anything, a number of GiB for any."""
    parts = [re.escape(_plain(part)) for part in quoted.split("...")]
    return re.fullmatch(".*".join(parts), _plain(said)) is not None


def _plain(text: str) -> str:
    return re.sub(r"[\d.]+(?= GiB that)", "N", text)
