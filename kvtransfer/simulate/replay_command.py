"""Runs ``kvtransfer simulate TRACE``: hits and time saved on recorded requests, by tier sizes."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.policies import OLD_NAMES
from kvtransfer.simulate import arguments
from kvtransfer.simulate.grid import Machine, grid, pieces_in, replayed
from kvtransfer.simulate.replay import HOST, TIERS
from kvtransfer.simulate.trace import read_trace

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from kvtransfer.simulate.grid import Outcome
    from kvtransfer.simulate.replay import Sizes
    from kvtransfer.simulate.trace import Request

_FILE_WIDTH = 120

_ADMIT = (
    "write back to disk and remote only evicted chunks whose learned reuse probability is at least "
    "P, as in 0.05; default: write every chunk when it is computed"
)

_GROUPS = (
    "the model's cache groups, all with as many layers: full, state, window:TOKENS or local:TOKENS, "
    "as in full,window:1024*6; default: %(default)s"
)

HELP = "simulate sizes of tiers and eviction policies on recorded requests"

EPILOG = """\
TRACE is a .jsonl file of objects with input_length and hash_ids (Mooncake's traces) or tokens and
hashes, or a .csv file with columns tokens and hashes (separated by spaces). A hash names a chunk
together with all chunks before it. Sizes are in GiB, or shares of the trace's distinct chunks, as in
5%. Disk and remote evict the least recently used chunk.

  kvtransfer simulate trace.jsonl --host 64,128,256 --disk 0,2000 --policy learned,lru --plot sizes.svg
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command to ``parser``."""
    sizes, count, rate = arguments.sizes, arguments.count, arguments.rate
    add = parser.add_argument
    add("trace", type=Path, metavar="TRACE", help="file of recorded requests")
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
    add("--plot", type=arguments.picture, metavar="FILE", help="write a plot: .png or .svg")
    add(
        "--chunk-tokens", type=count, default=512, help="tokens for each hash; default: %(default)s"
    )
    add(
        "--token-bytes",
        type=count,
        default=131072,
        help="KV cache bytes for each token; default: %(default)s",
    )
    add("--groups", type=arguments.reaches, default="full", help=_GROUPS)
    add(
        "--prefill-tokens-per-s",
        type=rate,
        default=10_000,
        help="speed of computing; default: %(default)s",
    )
    add(
        "--host-gb-s",
        type=rate,
        default=20,
        help="load speed from host memory; default: %(default)s",
    )
    add("--disk-gb-s", type=rate, default=4, help="load speed from disk; default: %(default)s")
    add(
        "--remote-gb-s",
        type=rate,
        default=2,
        help="load speed from the remote store; default: %(default)s",
    )


def simulate(options: Namespace) -> None:
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
    policies = _current(options.policy)
    machine = Machine(
        options.chunk_tokens,
        options.token_bytes,
        options.prefill_tokens_per_s,
        {tier: getattr(options, f"{tier}_gb_s") * 1e9 for tier in TIERS},
        options.groups,
    )
    requests = read_trace(options.trace, machine.chunk_tokens)
    sizes = _sizes(options, requests, machine)
    outcomes = _outcomes(requests, sizes, policies, machine, options.admit_chance)
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    console.print(table(outcomes, machine), LEGEND, sep="\n\n", highlight=False)
    if options.plot:
        draw(options.plot, outcomes, machine, options.trace.name)


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
            held = pieces_in(text, chunks_in_trace * len(machine.reaches), machine.piece_bytes)
            if held == 0 and (tier == HOST or float(text.rstrip("%"))):
                raise ConfigError(
                    f"--{tier} {text} is too small for one chunk of "
                    f"{machine.chunk_bytes / 2**20:.4g} MiB; the trace has {chunks_in_trace} chunks"
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
