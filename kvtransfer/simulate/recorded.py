"""Holds a trace with what is known of it: how long its chunks are, and how long it was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from kvtransfer.simulate.trace import read_trace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kvtransfer.simulate.request import Request

MOONCAKE_CHUNK_TOKENS = 512
"""The chunk size of a trace that doesn't say it."""


@dataclass(frozen=True)
class Recorded:
    """The requests of a trace."""

    name: str
    requests: list[Request]
    chunk_tokens: int

    @cached_property
    def tokens(self) -> int:
        """The tokens of all prompts."""
        return sum(request.tokens for request in self.requests)

    @cached_property
    def chunks(self) -> int:
        """The chunks of all requests."""
        return sum(len(request.keys) for request in self.requests)

    @cached_property
    def distinct(self) -> int:
        """How many different chunks they have."""
        return len({key for request in self.requests for key in request.keys})

    @cached_property
    def seconds(self) -> float | None:
        """From the first request to the last; None: the trace has no times, or only one."""
        return lasted_s(self.requests)


def lasted_s(requests: Sequence[Request]) -> float | None:
    """Seconds from the first of ``requests`` to the last; None: some have no time, or all the same."""
    times = [request.at_s for request in requests if request.at_s is not None]
    if len(times) < len(requests) or max(times) <= min(times):
        return None
    return max(times) - min(times)


def read_recorded(path: Path, chunk_tokens: int | None) -> Recorded:
    """Read a trace.

    Args:
        path: of its file.
        chunk_tokens: of its chunks; None: as it says, or ``MOONCAKE_CHUNK_TOKENS``.

    Raises:
        TraceError: the file is not a trace.
    """
    requests = read_trace(path, chunk_tokens)
    if requests[0].chunk_tokens is None:
        requests = read_trace(path, MOONCAKE_CHUNK_TOKENS)
    return Recorded(path.name, requests, requests[0].chunk_tokens or MOONCAKE_CHUNK_TOKENS)
