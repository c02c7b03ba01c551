"""Describes what can be reused of a request's prompt at other positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.passages.gaps import Blend
    from kvtransfer.scheduling.lookup.located import Located


@dataclass(frozen=True)
class Found:
    """Passages, and where the store has their chunks."""

    blend: Blend
    """What is copied and computed behind the exact prefix; no copies: nothing is reused."""
    new: tuple[tuple[int, int], ...]
    """Tokens ``[first, end)`` of the prompt that are in no passage that is known."""
    located: Located
    """The chunks of the copies and of the exact prefix that the store has."""
