"""``kvtransfer simulate TRACE``: how much memory is worth buying, by one's own requests."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.policies import POLICIES
from kvtransfer.simulate.grid import Machine, chunks_in, grid, replayed
from kvtransfer.simulate.trace import TraceError, read_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE_WIDTH = 120

_ADMIT = (
    "write to disk and remote only what leaves host memory with at least this learned chance to be "
    "asked for again, 0.05 say; default: all that is computed, at once"
)

_EPILOG = """\
TRACE is a .jsonl file of objects with input_length and hash_ids (Mooncake's traces) or tokens and
hashes, or a .csv file with columns tokens and hashes (separated by spaces). A hash stands for a
chunk and all before it. Sizes are GiB, or shares of the distinct chunks of the trace: 5%. Disk and
remote evict by last use.

  kvtransfer simulate trace.jsonl --host 64,128,256 --disk 0,2000 --policy odds,lru --plot sizes.svg
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _simulate(options)
    except KeyboardInterrupt:
        return 130
    except (ConfigError, TraceError) as error:
        print(f"kvtransfer: {error}", file=sys.stderr)
        return 2
    return 0


def _simulate(options: argparse.Namespace) -> None:
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        raise ConfigError("simulate needs rich: pip install 'kvtransfer[simulate]'") from None
    from kvtransfer.simulate.plot import draw
    from kvtransfer.simulate.table import LEGEND, table

    requests = read_trace(options.trace)
    machine = Machine(
        options.chunk_tokens,
        options.token_bytes,
        options.prefill_tokens_per_s,
        {tier: getattr(options, f"{tier}_gb_s") * 1e9 for tier in ("host", "disk", "remote")},
    )
    distinct = len({key for request in requests for key in request.keys})
    sizes = grid(
        *(
            [chunks_in(text, distinct, machine.chunk_bytes) for text in getattr(options, tier)]
            for tier in ("host", "disk", "remote")
        )
    )
    if any(size.host == 0 for size in sizes):
        raise ConfigError(f"--host holds no chunk of {machine.chunk_bytes / 2**20:.4g} MiB")
    count = len(sizes) * len(options.policy)
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"{count} configurations", total=count * len(requests))
        advance = partial(progress.advance, task)
        outcomes = list(
            replayed(requests, sizes, options.policy, machine, advance, options.admit_chance)
        )
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    console.print(table(outcomes, machine), LEGEND, sep="\n\n", highlight=False)
    if options.plot:
        draw(options.plot, outcomes, machine)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kvtransfer", description="A KV cache layer for vLLM.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    simulate = commands.add_parser(
        "simulate",
        help="replay recorded requests over sizes of tiers and policies",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = simulate.add_argument
    add("trace", type=Path, metavar="TRACE", help="recorded requests")
    add("--host", type=_sizes, default="1%,2%,5%,10%,20%", help="sizes; default: %(default)s")
    add("--disk", type=_sizes, default="0", help="sizes; default: none")
    add("--remote", type=_sizes, default="0", help="sizes; default: none")
    add("--policy", type=_policies, default="odds,lru,arc", help="default: %(default)s")
    add("--admit-chance", type=float, metavar="P", help=_ADMIT)
    add("--plot", type=_picture, metavar="FILE", help="draw the curve: .png or .svg")
    add("--chunk-tokens", type=int, default=512, help="of a hash; default: %(default)s")
    add("--token-bytes", type=int, default=131072, help="of the cache; default: %(default)s")
    add("--prefill-tokens-per-s", type=float, default=10_000, help="default: %(default)s")
    add("--host-gb-s", type=float, default=20, help="loads from host memory; default: %(default)s")
    add("--disk-gb-s", type=float, default=4, help="loads from disk; default: %(default)s")
    add("--remote-gb-s", type=float, default=2, help="loads from Redis; default: %(default)s")
    return parser


def _sizes(text: str) -> list[str]:
    sizes = text.split(",")
    if any(chunks_in(size, 1000, 1) < 0 for size in sizes):
        raise ValueError(text)
    return sizes


def _picture(text: str) -> Path:
    if not text.endswith((".png", ".svg")):
        raise argparse.ArgumentTypeError(f"{text}: neither .png nor .svg")
    return Path(text)


def _policies(text: str) -> list[str]:
    unknown = set(names := text.split(",")) - set(POLICIES)
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{', '.join(sorted(unknown))}: known are {', '.join(POLICIES)}"
        )
    return names


if __name__ == "__main__":
    sys.exit(main())
