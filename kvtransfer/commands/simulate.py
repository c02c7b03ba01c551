"""``kvtransfer simulate``: replays a trace, or says from which context length on a load pays."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
from click.core import ParameterSource

from kvtransfer.commands.option_groups import GroupedCommand
from kvtransfer.commands.simulate_options import simulate_options
from kvtransfer.simulate import command


@click.command(
    cls=GroupedCommand,
    short_help="Try sizes of tiers on recorded requests.",
)
@click.argument("trace", required=False, type=click.Path(path_type=Path))
@simulate_options
@click.pass_context
def simulate(ctx: click.Context, /, **options: Any) -> None:
    """Replay TRACE for sizes and policies, find the best sizes for a budget, or say when a load pays.

    TRACE is what the setting trace_file records: a .jsonl file of objects with tokens and hashes, or
    input_length and hash_ids (Mooncake's traces), or a .csv file with columns tokens and hashes,
    which are separated by spaces. A hash names a chunk together with all chunks before it.

    SIZES are in GiB, or shares of the trace's distinct chunks, as in 5%; several are separated by
    commas. Disk and remote evict the least recently used chunk.

    \b
    kvtransfer simulate trace.jsonl --host 64,128,256 --disk 0,2000 --plot sizes.svg
    kvtransfer simulate trace.jsonl --host 64 --model config.json --codec int8
    kvtransfer simulate trace.jsonl --budget 2000 --prices prices.yaml
    kvtransfer simulate --break-even --model config.json --prefill-tokens-per-s 20000@2048,13500@32768
    """  # noqa: D301 - click reads \b
    given = {
        name for name in options if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    command.simulate(SimpleNamespace(**options), given)
