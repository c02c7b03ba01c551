"""Says what a replay rests on, in words and as plain values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.simulate.gibibytes import size
from kvtransfer.simulate.replay import DISK, HOST, REMOTE, TIERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.simulate.grid import Machine
    from kvtransfer.simulate.kept_pieces import KeptPieces
    from kvtransfer.simulate.recorded import Recorded


@dataclass(frozen=True)
class Assumptions:
    """The trace, the model and the machine."""

    recorded: Recorded
    pieces: KeptPieces
    machine: Machine
    instances: int = 1
    admit_chance: float | None = None

    def lines(self) -> list[str]:
        """A line for each of them, its subject first."""
        return [
            f"trace: {self._trace()}",
            f"chunks: {self._chunks()}",
            f"model: {self._model()}",
            f"speeds: {self._speeds()}",
            f"engines: {self._engines()}",
        ]

    def as_json(self) -> dict[str, object]:
        """The same, as plain values."""
        recorded, machine = self.recorded, self.machine
        return {
            "trace": recorded.name,
            "trace_requests": len(recorded.requests),
            "trace_tokens": recorded.tokens,
            "trace_seconds": recorded.seconds,
            "trace_chunks": recorded.chunks,
            "trace_distinct_chunks": recorded.distinct,
            "model": self.pieces.name,
            "tensor_parallel_size": self.pieces.ranks,
            "codec": self.pieces.codec,
            "chunk_tokens": machine.chunk_tokens,
            "token_bytes": machine.token_bytes,
            "cache_groups": len(machine.reaches),
            **{f"{tier}_piece_bytes": machine.piece_bytes(tier) for tier in TIERS},
            "prefill_tokens_per_s": machine.prefill_tokens_per_s,
            **{f"{tier}_gb_s": machine.tier_bytes_per_s[tier] / 1e9 for tier in TIERS},
            "instances": self.instances,
            "admit_chance": self.admit_chance,
        }

    def _trace(self) -> str:
        recorded = self.recorded
        lasted = "" if recorded.seconds is None else f" in {_duration(recorded.seconds)}"
        each = recorded.tokens / len(recorded.requests)
        return (
            f"{recorded.name}, {len(recorded.requests):,} requests{lasted}, {each:,.0f} tokens each"
        )

    def _chunks(self) -> str:
        recorded, machine = self.recorded, self.machine
        gib = size(recorded.distinct, machine.chunk_bytes)
        return (
            f"{recorded.chunks:,} of {machine.chunk_tokens} tokens, {machine.chunk_bytes / 2**20:.4g} "
            f"MiB; {recorded.distinct:,} distinct, {gib} GiB as they are computed"
        )

    def _model(self) -> str:
        return ", ".join(self._of_model())

    def _of_model(self) -> Iterator[str]:
        pieces, machine = self.pieces, self.machine
        yield pieces.name
        if pieces.ranks > 1:
            yield f"{pieces.ranks} tensor-parallel ranks"
        yield f"{machine.token_bytes:,.0f} bytes a token"
        if len(machine.reaches) > 1:
            yield f"{len(machine.reaches)} cache groups"
        if pieces.codec != "naive":
            where = "disk and remote" if HOST not in pieces.ratios else "every tier"
            yield f"{pieces.codec} in {where}, {pieces.ratio:.2f} x smaller"

    def _speeds(self) -> str:
        gb_s = {tier: f"{speed / 1e9:g}" for tier, speed in self.machine.tier_bytes_per_s.items()}
        return (
            f"computing {self.machine.prefill_tokens_per_s:,.0f} tokens/s; loading from host memory "
            f"{gb_s[HOST]} GB/s, disk {gb_s[DISK]}, remote {gb_s[REMOTE]}"
        )

    def _engines(self) -> str:
        chance = self.admit_chance
        written = "when it is computed" if chance is None else "when it leaves host memory, "
        if chance is not None:
            written += f"if it comes again with a chance of {chance:g}"
        many = "one" if self.instances == 1 else f"{self.instances}, which get requests in turn"
        return f"{many}, requests one after another; each chunk is written {written}"


def _duration(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:,.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
