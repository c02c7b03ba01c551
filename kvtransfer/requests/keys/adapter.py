"""What is known of the LoRA adapter that a request names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Held(NamedTuple):
    """What a worker holds under an adapter's id."""

    digest: str
    changes: int
    """How often the content under this id has changed."""
    is_steady: bool
    """Nothing else was ever loaded under its name and path, by which the engine's cache goes."""


@dataclass
class Adapter:
    """The adapter of one request; written once its workers have answered."""

    adapter_id: int
    held: Held | None = None
    """None: its content can't be told, or not yet."""
    is_known: bool = False
    """Whether the workers have answered."""
