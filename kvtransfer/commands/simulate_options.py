"""Defines the options of ``kvtransfer simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from kvtransfer.chunks.encoded_size import CODECS
from kvtransfer.commands.option_groups import GroupedOption, parsed
from kvtransfer.simulate import arguments
from kvtransfer.simulate.break_even import command as break_even
from kvtransfer.simulate.break_even.model import BLOCK_TOKENS
from kvtransfer.simulate.budget.goal import GOALS
from kvtransfer.simulate.machine_options import REMOTE_GB_S
from kvtransfer.simulate.recorded import MOONCAKE_CHUNK_TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable

_REPLAY, _BUDGET = "A replay of TRACE", "Which sizes to buy for TRACE"
_BREAK_EVEN = "From which context length on a load pays"
_MODEL, _MACHINE, _OUTPUT = "The model", "The machine", "What is printed"


class _Asked(NamedTuple):
    """An option: its name, its group, what reads it, its default and its help."""

    name: str
    group: str
    read: Callable[[str], Any] | None
    """None: it is a flag."""
    metavar: str
    default: str | None
    help: str


_ASKED = (
    _Asked("host", _REPLAY, arguments.sizes, "SIZES", "1%,2%,5%,10%,20%", "Host memory."),
    _Asked("disk", _REPLAY, arguments.sizes, "SIZES", "0", "Disk; 0: none."),
    _Asked("remote", _REPLAY, arguments.sizes, "SIZES", "0", "Remote store; 0: none."),
    _Asked(
        "policy",
        _REPLAY,
        arguments.policies,
        "NAMES",
        None,
        "Policies of host memory; default: learned,lru,arc, or for --budget what an engine takes.",
    ),
    _Asked(
        "instances",
        _REPLAY,
        arguments.count,
        "N",
        "1",
        "Engines that get the requests in turn: each has the host memory and the disk, all share the "
        "remote store.",
    ),
    _Asked(
        "admit-chance",
        _REPLAY,
        arguments.chance,
        "P",
        None,
        "Write back to disk and remote only evicted chunks whose learned reuse probability is at "
        "least P, as in 0.05; default: write every chunk when it is computed.",
    ),
    _Asked(
        "budget", _BUDGET, arguments.rate, "EUR", None, "Euros a month, to split over the tiers."
    ),
    _Asked("prices", _BUDGET, Path, "FILE", None, "Prices, as in examples/prices.yaml."),
    _Asked(
        "goal",
        _BUDGET,
        arguments.one_of(GOALS),
        "|".join(GOALS),
        "seconds",
        "What is to be the most: seconds of time to first token that are saved, or restored tokens.",
    ),
    _Asked("break-even", _BREAK_EVEN, None, "", None, "Ask this instead of replaying a trace."),
    _Asked("round-trip-ms", _BREAK_EVEN, arguments.rate, "MS", "0.2", "To the remote store."),
    _Asked(
        "load-margin",
        _BREAK_EVEN,
        arguments.rate,
        "X",
        "1.1",
        "As the setting: a load may take X times as long as computing.",
    ),
    _Asked("model", _MODEL, Path, "PATH", None, "A model's config.json, or its folder."),
    _Asked(
        "token-bytes",
        _MODEL,
        arguments.count,
        "N",
        "131072",
        "KV cache bytes for each token, without a --model.",
    ),
    _Asked(
        "groups",
        _MODEL,
        arguments.reaches,
        "GROUPS",
        "full",
        "The cache groups of a replay without a --model, all with as many layers: full, state, "
        "window:TOKENS or local:TOKENS, as in full,window:1024*6.",
    ),
    _Asked("tensor-parallel-size", _MODEL, arguments.count, "N", "1", "As vLLM's."),
    _Asked("block-size", _MODEL, arguments.count, "TOKENS", f"{BLOCK_TOKENS}", "As vLLM's."),
    _Asked(
        "kv-cache-dtype",
        _MODEL,
        arguments.cache_dtype,
        "DTYPE",
        "auto",
        "As vLLM's; auto: the model's own, or bfloat16.",
    ),
    _Asked(
        "chunk-tokens",
        _MODEL,
        arguments.count,
        "N",
        None,
        f"Tokens of a chunk; default: as the trace says, or {MOONCAKE_CHUNK_TOKENS}; for --break-even "
        f"{break_even.CHUNK_TOKENS}.",
    ),
    _Asked(
        "codec",
        _MODEL,
        arguments.codecs,
        "NAMES",
        None,
        f"As remote_serde: {', '.join(CODECS)}; several for --break-even; default: naive, or "
        f"{', '.join(break_even.CODECS)}.",
    ),
    _Asked(
        "prefill-tokens-per-s",
        _MACHINE,
        arguments.prefill_rates,
        "RATE",
        "10000",
        "Speed of computing; for --break-even also RATE@TOKENS,RATE@TOKENS, of prompts of two "
        "lengths.",
    ),
    _Asked("host-gb-s", _MACHINE, arguments.rate, "GB_S", "20", "Load speed from host memory."),
    _Asked("disk-gb-s", _MACHINE, arguments.rate, "GB_S", "4", "Load speed from disk."),
    _Asked(
        "remote-gb-s",
        _MACHINE,
        arguments.rates,
        "GB_S",
        None,
        f"Load speed from the remote store; several for --break-even; default: {REMOTE_GB_S:g}, or "
        f"{break_even.REMOTE_GB_S}.",
    ),
    _Asked("plot", _OUTPUT, arguments.picture, "FILE", None, "Draw it too: .png or .svg."),
    _Asked("json", _OUTPUT, None, "", None, "Print one JSON object instead of tables."),
    _Asked(
        "csv", _OUTPUT, None, "", None, "Print CSV instead of tables: each row has all assumptions."
    ),
)


def simulate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` the options, as keyword arguments of the same names."""
    for asked in reversed(_ASKED):
        command = _option(asked)(command)
    return command


def _option(asked: _Asked) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    more: dict[str, Any] = {"is_flag": True}
    if asked.read is not None:
        more = {
            "callback": parsed(asked.read),
            "metavar": asked.metavar,
            "default": asked.default,
            "show_default": asked.default is not None,
        }
    return click.option(
        f"--{asked.name}", cls=GroupedOption, group=asked.group, help=asked.help, **more
    )
