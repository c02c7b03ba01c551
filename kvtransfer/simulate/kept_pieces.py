"""Cuts what a model keeps of a token into the pieces that a replay moves. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.chunks.encoded_size import IN_STORES, ratio
from kvtransfer.chunks.reach import State
from kvtransfer.errors import ConfigError
from kvtransfer.simulate.break_even.model import model_of
from kvtransfer.simulate.replay import HOST, TIERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.reach import Reach
    from kvtransfer.simulate.break_even.kept import Kept
    from kvtransfer.simulate.break_even.model import Model
    from kvtransfer.simulate.break_even.model_config import ModelConfig


@dataclass(frozen=True)
class KeptPieces:
    """What a model keeps of a chunk: a piece for each cache group, all of one size."""

    name: str
    """What keeps it, in words."""
    token_bytes: float
    """The bytes of all groups, on all ranks together."""
    reaches: tuple[Reach, ...]
    """How far back each group reads."""
    ratio: float
    """How many times smaller the codec makes a piece."""
    codec: str
    ranks: int = 1

    @property
    def ratios(self) -> dict[str, float]:
        """How many times smaller each tier holds a piece."""
        return {tier: self.ratio for tier in TIERS if tier != HOST or self.codec not in IN_STORES}


def pieces_of_any(
    token_bytes: int, reaches: Sequence[Reach], codec: str, dtype: str, ranks: int
) -> KeptPieces:
    """What any model of ``token_bytes`` keeps, on all ``ranks`` together.

    Raises:
        ConfigError: some of it are states, and the codec changes bytes.
    """
    _check_codec(codec, reaches)
    name = f"any, {dtype}"
    return KeptPieces(name, token_bytes, tuple(reaches), ratio(codec, dtype), codec, ranks)


def pieces_of_model(
    config: ModelConfig,
    cache_dtype: str | None,
    ranks: int,
    chunk_tokens: int,
    block_tokens: int,
    codec: str,
) -> KeptPieces:
    """What the model of a ``config.json`` keeps; arguments as ``model_of`` takes them, and a codec.

    Layers are put into cache groups as vLLM does it: all groups have as many layers as there are of
    the rarest kind, the last group of a kind perhaps fewer.

    Raises:
        ConfigError: the file doesn't say enough, or has chunks of another length, or the codec
            doesn't fit.
    """
    model = model_of(config, cache_dtype, ranks, chunk_tokens, block_tokens)
    if model.chunk_tokens != chunk_tokens:
        raise ConfigError(
            f"{model.name} keeps states, so its chunks have {model.chunk_tokens} tokens and those of "
            f"the trace have {chunk_tokens}; record a trace with this model, or pass --block-size as "
            "vLLM has it"
        )
    if not model.takes(codec):
        raise ConfigError(f"--codec {codec} fits no layer of {model.name}; leave it out")
    reaches = tuple(_reaches(model))
    _check_codec(codec, reaches)
    kept_bytes = _piece_bytes(model, "naive")
    dtypes = " and ".join(dict.fromkeys(kept.dtype for kept in model.kept if not kept.is_state))
    return KeptPieces(
        f"{model.name}, {dtypes or 'states'}",
        kept_bytes * len(reaches) * ranks / chunk_tokens,
        reaches,
        kept_bytes / _piece_bytes(model, codec),
        codec,
        ranks,
    )


def _check_codec(codec: str, reaches: Sequence[Reach]) -> None:
    if codec != "naive" and State() in reaches:
        raise ConfigError(
            f"--codec {codec} with states is not simulated: a state stays as it is, and every slot of "
            "host memory has room for one; leave it out"
        )


def _reaches(model: Model) -> list[Reach]:
    """The groups; layers that read everything are one if there is no other kind."""
    kinds = _by_reach(model)
    fewest = min(layers for layers, _ in kinds.values())
    return [
        reach for reach, (layers, _) in kinds.items() for _ in range(math.ceil(layers / fewest))
    ]


def _piece_bytes(model: Model, codec: str) -> float:
    """The bytes of a group's piece on one rank: those of the kind that has the most."""
    kinds = _by_reach(model)
    fewest = min(layers for layers, _ in kinds.values())
    return max(
        fewest * sum(model.piece_bytes(kept, codec) for kept in kind) / layers
        for layers, kind in kinds.values()
    )


def _by_reach(model: Model) -> dict[Reach, tuple[int, list[Kept]]]:
    """How many layers reach as far, and what they keep; an indexer's keys lie beside its latents."""
    kinds: dict[Reach, tuple[int, list[Kept]]] = {}
    for kept in model.kept:
        layers, found = kinds.get(kept.reach, (0, []))
        kinds[kept.reach] = (max(layers, kept.layers), [*found, kept])
    return kinds
