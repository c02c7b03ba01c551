"""Orders layers by the numbers in their names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def in_order(layer_names: Iterable[str]) -> list[str]:
    """Return ``layer_names`` as the model runs them; a draft's may have the numbers of the model's."""
    return sorted(layer_names, key=_numbers)


def _numbers(layer_name: str) -> tuple[list[int], str]:
    return [int(number) for number in re.findall(r"\d+", layer_name)], layer_name
