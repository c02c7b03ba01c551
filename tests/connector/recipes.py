"""The commands of ``docs/recipes.md``, as a reader would copy them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"


def blocks(language: str) -> list[str]:
    """The fenced blocks in ``language``."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """The arguments of each call of ``program``, the part before them left out."""
    found = [line.partition(program)[2] for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(rest) for rest in found if rest]


def option(arguments: list[str], name: str) -> str:
    """What is given as ``name``."""
    return arguments[arguments.index(name) + 1]
