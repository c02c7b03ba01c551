"""Makes of options what a replay needs to know of the model and the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from kvtransfer.errors import ConfigError
from kvtransfer.simulate.break_even.model_config import read_config
from kvtransfer.simulate.grid import Machine
from kvtransfer.simulate.kept_pieces import pieces_of_any, pieces_of_model
from kvtransfer.simulate.replay import HOST, REMOTE, TIERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import SimpleNamespace

    from kvtransfer.simulate.kept_pieces import KeptPieces

_T = TypeVar("_T")

REMOTE_GB_S = 2.0


def pieces_of(options: SimpleNamespace, chunk_tokens: int) -> KeptPieces:
    """What the model keeps of a chunk.

    Raises:
        ConfigError: its file can't be read or isn't known, or the options don't fit it.
    """
    codec = only(options.codec or ("naive",), "--codec")
    ranks, dtype, block = (
        options.tensor_parallel_size,
        options.kv_cache_dtype,
        options.block_size,
    )
    if options.model is None:
        return pieces_of_any(options.token_bytes, options.groups, codec, dtype or "bfloat16", ranks)
    if chunk_tokens % block:
        raise ConfigError(
            f"chunks of {chunk_tokens} tokens are no multiple of --block-size {block}"
        )
    return pieces_of_model(read_config(options.model), dtype, ranks, chunk_tokens, block, codec)


def machine_of(options: SimpleNamespace, chunk_tokens: int, pieces: KeptPieces) -> Machine:
    """What converts hits into time; each rank has a bus of its own.

    Raises:
        ConfigError: an option has several values.
    """
    gb_s = {tier: getattr(options, f"{tier}_gb_s") for tier in TIERS}
    gb_s[REMOTE] = only(gb_s[REMOTE] or (REMOTE_GB_S,), "--remote-gb-s")
    gb_s[HOST] *= pieces.ranks
    return Machine(
        chunk_tokens,
        pieces.token_bytes,
        only(options.prefill_tokens_per_s, "--prefill-tokens-per-s")[0],
        {tier: speed * 1e9 for tier, speed in gb_s.items()},
        pieces.reaches,
        pieces.ratios,
    )


def only(given: Sequence[_T], option: str, question: str = "a replay") -> _T:
    """The one value of an option that takes several for other questions.

    Raises:
        ConfigError: there are several.
    """
    if len(given) > 1:
        raise ConfigError(f"{option} takes one value for {question}, not {len(given)}")
    return given[0]
