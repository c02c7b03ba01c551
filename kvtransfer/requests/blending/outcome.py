"""What has come of blending a request, for its caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Outcome:
    """Counts tokens of one request's prompt."""

    exact_tokens: int = 0
    """Before the first passage that was reused: had or loaded as they were computed."""
    reused_tokens: int = 0
    """Copied from where the same passages stood before."""
    gap_tokens: int = 0
    """Computed between these."""
    passages: int = 0
    """How many stretches were copied."""
    loaded_from: Mapping[str, int] = field(default_factory=dict)
    """Tokens that were loaded, exact ones too, by the tier that had them."""
    has_failed: bool = False
    """Whether all but the exact tokens were computed in the end."""
