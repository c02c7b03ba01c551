"""What has come of a request, for its caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.requests.blending.outcome import Outcome


@dataclass(frozen=True)
class Served:
    """Counts tokens of one request that is over."""

    loaded_from: Mapping[str, int]
    """Tokens that its latest load brought as they were computed, by the tier that had them."""
    has_failed: bool
    """Whether a load of it failed, so that its tokens were computed."""
    saved_tokens: int
    """Tokens of its chunks that are kept, or on their way to be."""
    blended: Outcome | None
    """What has come of blending it; None: it was not blended."""
