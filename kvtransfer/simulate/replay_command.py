"""Replays a trace: hits and time saved on recorded requests, by tier sizes."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kvtransfer.chunks.encoded_size import IN_STORES, ratio
from kvtransfer.chunks.reach import State
from kvtransfer.errors import ConfigError
from kvtransfer.policies import OLD_NAMES
from kvtransfer.simulate import arguments
from kvtransfer.simulate.grid import Machine, grid, pieces_in, replayed
from kvtransfer.simulate.replay import HOST, REMOTE, TIERS
from kvtransfer.simulate.trace import read_trace

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from kvtransfer.simulate.grid import Outcome
    from kvtransfer.simulate.replay import Sizes
    from kvtransfer.simulate.trace import Request

_T = TypeVar("_T")

_FILE_WIDTH = 120

_ADMIT = (
    "write back to disk and remote only evicted chunks whose learned reuse probability is at least "
    "P, as in 0.05; default: write every chunk when it is computed"
)

_GROUPS = (
    "the model's cache groups, all with as many layers: full, state, window:TOKENS or local:TOKENS, "
    "as in full,window:1024*6; default: %(default)s"
)

ALONE = ("trace", "plot")
"""Options that the other question must not be given, for what they ask would not be answered."""

CHUNK_TOKENS = 512
"""Mooncake's."""

REMOTE_GB_S = 2.0


def add_arguments(add: Callable[..., object]) -> None:
    """Add what only a replay takes; ``add`` is of a group of the parser's."""
    add("trace", type=Path, metavar="TRACE", nargs="?", help="file of recorded requests")
    sizes = arguments.sizes
    add(
        "--host",
        type=sizes,
        default="1%,2%,5%,10%,20%",
        help="sizes of host memory; default: %(default)s",
    )
    add("--disk", type=sizes, default="0", help="sizes of the disk tier; default: none")
    add("--remote", type=sizes, default="0", help="sizes of the remote store; default: none")
    add(
        "--policy",
        type=arguments.policies,
        default="learned,lru,arc",
        help="policies of host memory; default: %(default)s",
    )
    add("--admit-chance", type=arguments.chance, metavar="P", help=_ADMIT)
    add("--groups", type=arguments.reaches, default="full", help=_GROUPS)
    add("--plot", type=arguments.picture, metavar="FILE", help="write a plot: .png or .svg")


def replay(options: Namespace) -> None:
    """Print the table, and draw the plot if ``options`` name a file for it.

    Raises:
        ConfigError: a size is too small for a chunk, or a library is missing.
        TraceError: the file is not a trace.
    """
    try:
        from rich.console import Console

        from kvtransfer.simulate.table import LEGEND, table

        if options.plot:
            from kvtransfer.simulate.plot import draw
    except ImportError as error:
        raise ConfigError(f"simulate needs {error.name}: pip install '.[simulate]'") from None
    policies, machine = _current(options.policy), _machine(options)
    requests = read_trace(options.trace, machine.chunk_tokens)
    sizes = _sizes(options, requests, machine)
    outcomes = _outcomes(requests, sizes, policies, machine, options.admit_chance)
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    console.print(table(outcomes, machine), LEGEND, sep="\n\n", highlight=False)
    if options.plot:
        draw(options.plot, outcomes, machine, options.trace.name)


def _machine(options: Namespace) -> Machine:
    codec = _only(options.codec or ("naive",), "--codec")
    if codec != "naive" and State() in options.groups:
        raise ConfigError(
            f"--codec {codec} with states in --groups is not simulated: a state stays as it is, and "
            "every slot of host memory has room for one"
        )
    chunk_tokens = options.chunk_tokens or CHUNK_TOKENS
    smaller = ratio(codec, options.kv_cache_dtype or "bfloat16")
    speeds = {tier: getattr(options, f"{tier}_gb_s") for tier in TIERS}
    speeds[REMOTE] = _only(speeds[REMOTE] or (REMOTE_GB_S,), "--remote-gb-s")
    return Machine(
        chunk_tokens,
        options.token_bytes,
        _only(options.prefill_tokens_per_s, "--prefill-tokens-per-s")[0],
        {tier: speed * 1e9 for tier, speed in speeds.items()},
        options.groups,
        {tier: smaller for tier in TIERS if tier != HOST or codec not in IN_STORES},
    )


def _only(given: Sequence[_T], option: str) -> _T:
    """The one value of an option that takes several for other questions."""
    if len(given) > 1:
        raise ConfigError(f"{option} takes one value for a replay, not {len(given)}")
    return given[0]


def _current(policies: Sequence[str]) -> list[str]:
    """The present names of ``policies``, with a line on stderr about each old one."""
    for name in OLD_NAMES.keys() & set(policies):
        print(f"kvtransfer: policy {name} is now called {OLD_NAMES[name]}", file=sys.stderr)
    return list(dict.fromkeys(OLD_NAMES.get(name, name) for name in policies))


def _sizes(options: Namespace, requests: Sequence[Request], machine: Machine) -> list[Sizes]:
    """Every combination of the sizes in ``options``.

    Raises:
        ConfigError: a size above 0 is too small for a chunk.
    """
    chunks_in_trace = len({key for request in requests for key in request.keys})
    pieces: dict[str, list[int]] = {}
    for tier in TIERS:
        pieces[tier] = []
        for text in getattr(options, tier):
            piece_bytes = machine.piece_bytes(tier)
            held = pieces_in(text, chunks_in_trace * len(machine.reaches), piece_bytes)
            if held == 0 and (tier == HOST or float(text.rstrip("%"))):
                raise ConfigError(
                    f"--{tier} {text} is too small for one chunk of "
                    f"{piece_bytes * len(machine.reaches) / 2**20:.4g} MiB; the trace has "
                    f"{chunks_in_trace} chunks"
                )
            pieces[tier].append(held)
    return grid(*pieces.values())


def _outcomes(
    requests: Sequence[Request],
    sizes: Sequence[Sizes],
    policies: Sequence[str],
    machine: Machine,
    admit_chance: float | None,
) -> list[Outcome]:
    from rich.console import Console
    from rich.progress import Progress

    count = len(sizes) * len(policies)
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"{count} configurations", total=count * len(requests))
        advance = partial(progress.advance, task)
        return list(replayed(requests, sizes, policies, machine, advance, admit_chance))
