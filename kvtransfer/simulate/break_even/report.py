"""Names the figures behind a verdict, for tables and as JSON. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.chunks.reach import Everything
from kvtransfer.simulate.break_even.verdict import lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.simulate.break_even.kept import Kept
    from kvtransfer.simulate.break_even.model import Model
    from kvtransfer.simulate.break_even.verdict import Machine, Verdict


class Part(NamedTuple):
    """What layers that are alike add to a load of all ranks."""

    kept: Kept
    codec: str
    token_bytes: float
    """For each token; 0 where only the end of the prefix is kept."""
    end_bytes: int
    """For the end of a prefix, at most: what windows and states keep of it."""


def part(model: Model, kept: Kept, codec: str) -> Part:
    """What the layers ``kept`` add, in ``codec``."""
    piece_bytes = model.piece_bytes(kept, codec) * model.ranks
    if isinstance(kept.reach, Everything):
        return Part(kept, codec, piece_bytes / model.chunk_tokens, 0)
    tiling = model.tiling(kept)
    most_pieces = max(len(tiling.needed(tokens)) for tokens in lengths(model))
    return Part(kept, codec, 0.0, most_pieces * piece_bytes)


def chunk_prefill_s(model: Model, machine: Machine) -> tuple[float, float]:
    """Seconds of computing the first chunk, and the last one of the longest prefix."""
    tokens, last = model.chunk_tokens, lengths(model)[-1]
    prefill = machine.prefill
    return prefill.seconds(tokens), prefill.seconds(tokens, last - tokens)


def as_json(model: Model, machine: Machine, found: Sequence[Verdict]) -> dict[str, object]:
    """All figures, as plain values."""
    codecs = list(dict.fromkeys(verdict.codec for verdict in found))
    first_s, last_s = chunk_prefill_s(model, machine)
    return {
        "model": model.name,
        "tensor_parallel_size": model.ranks,
        "chunk_tokens": model.chunk_tokens,
        "longest_tokens": lengths(model)[-1],
        "load_margin": machine.load_margin,
        "prefill": {
            "token_s": machine.prefill.token_s,
            "context_token_s": machine.prefill.context_token_s,
            "first_chunk_s": first_s,
            "last_chunk_s": last_s,
        },
        "layers": [_layers(model, kept, codecs) for kept in model.kept],
        "loads": [_load(verdict) for verdict in found],
    }


def _layers(model: Model, kept: Kept, codecs: Sequence[str]) -> dict[str, object]:
    parts = [part(model, kept, codec) for codec in codecs]
    return {
        "what": kept.what,
        "layers": kept.layers,
        "dtype": kept.dtype,
        "token_bytes": {each.codec: each.token_bytes for each in parts},
        "end_bytes": {each.codec: each.end_bytes for each in parts},
    }


def _load(verdict: Verdict) -> dict[str, object]:
    return {
        "tier": verdict.link.tier,
        "gb_s": verdict.link.bytes_per_s / 1e9,
        "round_trip_s": verdict.link.round_trip_s,
        "codec": verdict.codec,
        "chunk_s": verdict.chunk_s,
        "longest_s": verdict.longest_s,
        "pays_from_tokens": verdict.pays_from,
    }
