"""Asks for doctor from which context length on a load pays: reads the question, and measures the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.chunks.encoded_size import CODECS
from kvtransfer.errors import ConfigError
from kvtransfer.operate.doctor.load_rules import Loads, link_of
from kvtransfer.operate.doctor.round_trip import round_trip
from kvtransfer.operate.doctor.vllm_rules import Arguments
from kvtransfer.simulate.break_even.model import BLOCK_TOKENS, model_of
from kvtransfer.simulate.break_even.model_config import read_config
from kvtransfer.simulate.break_even.speed import prefill_through

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kvtransfer.config import TransferConfig
    from kvtransfer.simulate.break_even.speed import Link
    from kvtransfer.stores.interface import Store

_SMALL_BYTES, _VALUES = 64, 32


def loads_asked(
    path: Path | None,
    rates: Sequence[tuple[float, int]] | None,
    arguments: Arguments | None,
    config: TransferConfig,
) -> Loads | None:
    """What would be loaded; None: that isn't asked.

    Args:
        path: of the model's folder, or its ``config.json``.
        rates: at which it is computed, as ``prefill_through`` takes them.
        arguments: those of vLLM, for tensor-parallel ranks and block size.
        config: for the chunk size, the codec and the margin.

    Raises:
        ConfigError: only half of the question is asked, or the model can't be read or isn't known.
    """
    if path is None and rates is None:
        return None
    if path is None or rates is None or config.remote_url is None:
        raise ConfigError(
            "when a load pays is asked with a store, --model and --prefill-tokens-per-s"
        )
    given = arguments or Arguments("")
    ranks = given.count("--tensor-parallel-size", 1)
    block_tokens = given.count("--block-size", BLOCK_TOKENS)
    model = model_of(read_config(path), None, ranks, config.chunk_size, block_tokens)
    codec = config.remote_serde if config.remote_serde in CODECS else "naive"
    return Loads(model, codec, prefill_through(rates), config.load_margin)


def measured(store: Store, chunk_bytes: int) -> Link:
    """Measure the way from ``store``, over one connection, with values that are removed again.

    Raises:
        StoreError: it doesn't answer.
    """
    small = round_trip(store, _VALUES, _SMALL_BYTES)
    return link_of(small, round_trip(store, _VALUES, chunk_bytes))
