"""What a Redis or Valkey did between two looks at its INFO. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ServerLoad:
    """Amounts of one server, a second where they grow; zero is also what it doesn't tell."""

    used_bytes: float
    limit_bytes: float
    """Its ``maxmemory``; 0: it has none."""
    hit_share: float | None
    """Share of the names looked up that were there; None where none was."""
    commands_per_s: float
    sent_bytes_per_s: float
    received_bytes_per_s: float
    evicted_per_s: float
    """Names that it has evicted for want of memory; an entry has two."""
    clients: int


def load_between(before: Mapping[str, str], after: Mapping[str, str], seconds: float) -> ServerLoad:
    """Compute what a server did in ``seconds`` from its fields of INFO; one that began anew counts from 0."""

    def grown(name: str) -> float:
        growth = _number(after, name) - _number(before, name)
        return growth if growth >= 0 else _number(after, name)

    found, missed = grown("keyspace_hits"), grown("keyspace_misses")
    return ServerLoad(
        used_bytes=_number(after, "used_memory"),
        limit_bytes=_number(after, "maxmemory"),
        hit_share=found / (found + missed) if found + missed else None,
        commands_per_s=grown("total_commands_processed") / seconds,
        sent_bytes_per_s=grown("total_net_output_bytes") / seconds,
        received_bytes_per_s=grown("total_net_input_bytes") / seconds,
        evicted_per_s=grown("evicted_keys") / seconds,
        clients=round(_number(after, "connected_clients")),
    )


def _number(fields: Mapping[str, str], name: str) -> float:
    text = fields.get(name, "")
    return float(text) if text.isdecimal() else 0.0
