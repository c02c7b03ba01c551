"""Judges whether loads from a store pay, for a model and the speed at which it computes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.operate.doctor.finding import Finding, Level
from kvtransfer.operate.quantities import bytes_text
from kvtransfer.simulate.break_even.speed import Link
from kvtransfer.simulate.break_even.verdict import Machine, lengths, verdicts
from kvtransfer.simulate.replay import HOST, REMOTE

if TYPE_CHECKING:
    from kvtransfer.operate.doctor.round_trip import RoundTrip
    from kvtransfer.simulate.break_even.model import Model
    from kvtransfer.simulate.break_even.speed import Prefill

_BUS = Link(HOST, 20e9)
"""From host memory to the device; a store that keeps it busy is faster than one connection."""


@dataclass(frozen=True)
class Loads:
    """What is loaded, and what a load has to beat."""

    model: Model
    codec: str
    prefill: Prefill
    load_margin: float

    @property
    def chunk_bytes(self) -> int:
        """The bytes of one rank's chunk, as the store holds it; of a model of states alone, of a state."""
        load = self.model.load(self.codec)
        return load.chunk_bytes or load.nbytes(self.model.chunk_tokens)


def link_of(small: RoundTrip, chunks: RoundTrip) -> Link:
    """The way from a store, of how long ``small`` values and ``chunks`` took, one after another."""
    answer_s, chunk_s = small.get_s / small.chunks, chunks.get_s / chunks.chunks
    more_s = max(chunk_s - answer_s, 1e-9)
    return Link(REMOTE, max(chunks.chunk_bytes - small.chunk_bytes, 1) / more_s, answer_s)


def judge_loads(loads: Loads, link: Link) -> Finding:
    """Say from which context length on a load over ``link`` pays, or that none does."""
    machine = Machine(loads.prefill, _BUS, (link,), loads.load_margin)
    model = loads.model
    verdict = next(
        each for each in verdicts(model, machine, [loads.codec]) if each.link.tier == REMOTE
    )
    computed_s = loads.prefill.seconds(model.chunk_tokens)
    measure = (
        f"over one connection a chunk of {model.chunk_tokens} tokens of {model.name} in {loads.codec} "
        f"takes {verdict.chunk_s * 1e3:.3g} ms at {bytes_text(link.bytes_per_s)}/s, and at least "
        f"{computed_s * 1e3:.3g} ms to compute"
    )
    if verdict.pays_from is None:
        return Finding(
            Level.COSTLY,
            "never-pays",
            f"no load from this store pays up to {lengths(model)[-1]:,} tokens: {measure}",
            "several connections, as an engine opens them, may be fast enough; otherwise use a faster "
            "line, or fewer bytes with remote_serde: kvtransfer simulate --break-even shows which "
            "are enough",
        )
    return Finding(
        Level.NOTE,
        "pays-from",
        f"a load from this store pays from {verdict.pays_from:,} tokens on: {measure}",
        "nothing is to be changed",
    )
