"""Finds from which context length on a load takes less than computing. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.chunks.encoded_size import IN_STORES
from kvtransfer.simulate.replay import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.simulate.break_even.model import Load, Model
    from kvtransfer.simulate.break_even.speed import Link, Prefill

ROUND_TRIPS = 2
"""How many a load from a store takes: the lookup, and the first bytes."""


@dataclass(frozen=True)
class Machine:
    """What a load has to beat, and the ways there are to load."""

    prefill: Prefill
    bus: Link
    """From host memory to the device; each rank has one of its own."""
    links: tuple[Link, ...]
    """From a disk or a remote store to host memory; all ranks share one."""
    load_margin: float
    """A load may take this many times as long as computing."""


@dataclass(frozen=True)
class Way:
    """A load over a link, of chunks in one codec; it crosses the bus at the same time."""

    link: Link
    bus: Link
    on_link: Load
    on_bus: Load
    ranks: int

    def seconds(self, tokens: int) -> float:
        """How long a load of ``tokens`` takes."""
        trips_s = ROUND_TRIPS * self.link.round_trip_s
        return trips_s + self._slower_s(self.on_link.nbytes(tokens), self.on_bus.nbytes(tokens))

    @property
    def chunk_s(self) -> float:
        """How long each further chunk takes, of layers that read everything."""
        return self._slower_s(self.on_link.chunk_bytes, self.on_bus.chunk_bytes)

    def _slower_s(self, link_bytes: int, bus_bytes: int) -> float:
        bus_s = bus_bytes / self.bus.bytes_per_s
        if self.link.tier == HOST:
            return bus_s
        return max(bus_s, link_bytes * self.ranks / self.link.bytes_per_s)


@dataclass(frozen=True)
class Verdict:
    """Whether loads over one link pay, of chunks in one codec."""

    link: Link
    codec: str
    chunk_s: float
    """Seconds that each further chunk takes, of layers that read everything."""
    longest_s: float
    """Seconds of the longest load."""
    pays_from: int | None
    """The least tokens, in whole chunks, from which on every load pays; None: never."""


def verdicts(model: Model, machine: Machine, codecs: Sequence[str]) -> Iterator[Verdict]:
    """Judge every link, the bus first, with every codec."""
    for link in (machine.bus, *machine.links):
        for codec in codecs:
            way = Way(link, machine.bus, model.load(codec), model.load(in_host(codec)), model.ranks)
            longest_s = way.seconds(lengths(model)[-1])
            yield Verdict(link, codec, way.chunk_s, longest_s, _pays_from(way, model, machine))


def lengths(model: Model) -> range:
    """The lengths of prefixes that can be loaded: whole chunks, up to the longest context."""
    step = model.chunk_tokens
    return range(step, max(model.most_tokens, step) + 1, step)


def in_host(codec: str) -> str:
    """The codec that host memory holds where a store holds ``codec``."""
    return "naive" if codec in IN_STORES else codec


def _pays_from(way: Way, model: Model, machine: Machine) -> int | None:
    shortest = None
    for tokens in lengths(model):
        if way.seconds(tokens) > machine.load_margin * machine.prefill.seconds(tokens):
            shortest = None
        elif shortest is None:
            shortest = tokens
    return shortest
