"""Runs ``kvtransfer simulate --break-even``: reads the options, and prints tables or JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from math import gcd
from typing import TYPE_CHECKING

from kvtransfer.chunks.reach import Everything
from kvtransfer.errors import ConfigError
from kvtransfer.simulate import arguments
from kvtransfer.simulate.break_even.kept import Kept
from kvtransfer.simulate.break_even.model import Model, model_of
from kvtransfer.simulate.break_even.model_config import read_config
from kvtransfer.simulate.break_even.notes import heading, notes, refusal
from kvtransfer.simulate.break_even.report import as_json
from kvtransfer.simulate.break_even.speed import Link, prefill_through
from kvtransfer.simulate.break_even.verdict import Machine, verdicts
from kvtransfer.simulate.replay import DISK, HOST, REMOTE

if TYPE_CHECKING:
    from types import SimpleNamespace

CODECS = ("naive", "lossless", "int8", "int5", "int4")
"""The columns, unless others are asked for."""

CHUNK_TOKENS = 256
REMOTE_GB_S = "0.1,1,3,12"

_FILE_WIDTH = 120
_ANY_MODEL_TOKENS, _ANY_MODEL_DIM = 131_072, 128


def run(options: SimpleNamespace) -> None:
    """Print from which context lengths on loads pay.

    Raises:
        ConfigError: the model's file can't be read or isn't known, or the options don't fit it.
    """
    model, machine = _model(options), _machine(options)
    codecs = options.codec or CODECS
    taken = [codec for codec in codecs if model.takes(codec)]
    if not taken:
        raise ConfigError(refusal(model, codecs))
    found = list(verdicts(model, machine, taken))
    if options.json:
        print(json.dumps(as_json(model, machine, found), indent=1))
        return
    try:
        from rich.console import Console

        from kvtransfer.simulate.break_even.table import table
    except ImportError as error:
        raise ConfigError(f"simulate needs {error.name}: pip install '.[simulate]'") from None
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    below = notes(model, machine, codecs)
    for shown in (heading(model), "", table(model, machine, found), "", below):
        console.print(shown, highlight=False, markup=False)


def _model(options: SimpleNamespace) -> Model:
    chunk_tokens, block_tokens = options.chunk_tokens or CHUNK_TOKENS, options.block_size
    if chunk_tokens % block_tokens:
        raise ConfigError(
            f"--chunk-tokens {chunk_tokens} is no multiple of --block-size {block_tokens}"
        )
    ranks, dtype = options.tensor_parallel_size, options.kv_cache_dtype
    if options.model is not None:
        return model_of(read_config(options.model), dtype, ranks, chunk_tokens, block_tokens)
    return _any_model(options.token_bytes, dtype or "bfloat16", ranks, chunk_tokens)


def _any_model(token_bytes: int, dtype: str, ranks: int, chunk_tokens: int) -> Model:
    """A model of which only the bytes of a token are known, on all ranks together."""
    one = Kept("any layers", Everything(), 1, dtype, ranks, 1)
    unit_bytes = one.form(1).nbytes
    if token_bytes % unit_bytes:
        raise ConfigError(
            f"--token-bytes {token_bytes} can't be keys and values of {dtype} on "
            f"--tensor-parallel-size {ranks}; give a multiple of {unit_bytes}"
        )
    numbers = token_bytes // unit_bytes
    dim = gcd(numbers, _ANY_MODEL_DIM)
    kept = replace(one, heads=numbers // dim, dim=dim)
    return Model(f"{token_bytes:,} bytes a token", (kept,), chunk_tokens, _ANY_MODEL_TOKENS, ranks)


def _machine(options: SimpleNamespace) -> Machine:
    remote = options.remote_gb_s or arguments.rates(REMOTE_GB_S)
    round_trip_s = options.round_trip_ms / 1e3
    links = [Link(REMOTE, speed * 1e9, round_trip_s) for speed in remote]
    return Machine(
        prefill_through(options.prefill_tokens_per_s),
        Link(HOST, options.host_gb_s * 1e9),
        (Link(DISK, options.disk_gb_s * 1e9), *links),
        options.load_margin,
    )
