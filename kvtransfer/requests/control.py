"""What a request's caller may say of how it is cached, and where that is found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kvtransfer.requests.step import EngineRequest


@dataclass(frozen=True)
class Control:
    """How one request is cached; by default like any other."""

    loads: bool = True
    """Whether tokens of it may be loaded."""
    saves: bool = True
    """Whether what it computes may be saved."""
    most_loaded_tokens: int | None = None
    """How many tokens one load of it may bring; None: any number."""
    priority: int = 0
    """Chunks by which the virtual finish time of its fetches is later; negative: sooner."""
    ttl_s: int | None = None
    """How long what it saves may live in stores; None: as long as they are set to."""


class Controls(Protocol):
    """Tells how requests are to be cached; for the scheduler's thread."""

    def of(self, request: EngineRequest) -> Control:
        """The control of a request that has come."""


class NoControls:
    """Implements :class:`Controls` for engines whose callers say nothing."""

    def of(self, request: EngineRequest) -> Control:
        """The default."""
        return Control()
