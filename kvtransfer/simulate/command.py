"""Runs ``kvtransfer simulate``: a replay of a trace, or the context lengths from which a load pays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.chunks.encoded_size import CODECS
from kvtransfer.errors import ConfigError
from kvtransfer.simulate import arguments, replay_command
from kvtransfer.simulate.break_even import command as break_even

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

HELP = "simulate sizes of tiers and eviction policies on recorded requests, or ask when a load pays"

EPILOG = """\
TRACE is a .jsonl file of objects with input_length and hash_ids (Mooncake's traces) or tokens and
hashes, or a .csv file with columns tokens and hashes (separated by spaces). A hash names a chunk
together with all chunks before it. Sizes are in GiB, or shares of the trace's distinct chunks, as in
5%. Disk and remote evict the least recently used chunk.

  kvtransfer simulate trace.jsonl --host 64,128,256 --disk 0,2000 --policy learned,lru --plot sizes.svg
  kvtransfer simulate trace.jsonl --host 64 --codec int8
  kvtransfer simulate --break-even --model config.json --prefill-tokens-per-s 20000@2048,13500@32768
"""

_CODEC = (
    f"as remote_serde: {', '.join(CODECS)}; several, separated by commas, for --break-even; "
    "default: naive, or " + ", ".join(break_even.CODECS)
)

_PREFILL = (
    "speed of computing; for --break-even also RATE@TOKENS,RATE@TOKENS, of whole prompts of two "
    "lengths; default: %(default)s"
)

_REMOTE = (
    "load speed from the remote store; several, separated by commas, for --break-even; "
    f"default: {replay_command.REMOTE_GB_S:g}, or {break_even.REMOTE_GB_S}"
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command to ``parser``."""
    replay_command.add_arguments(parser.add_argument_group("a replay of TRACE").add_argument)
    group = parser.add_argument_group("from which context length on a load pays")
    break_even.add_arguments(group.add_argument)
    _add_shared(parser)


def simulate(options: Namespace) -> None:
    """Print what ``options`` ask for.

    Raises:
        ConfigError: they don't go together, or what they name can't be read.
        TraceError: the file is not a trace.
    """
    if options.break_even:
        _refuse(options, replay_command.ALONE, "--break-even")
        break_even.run(options)
    elif options.trace:
        _refuse(options, break_even.ALONE, "a replay of TRACE")
        replay_command.replay(options)
    else:
        raise ConfigError("name a TRACE to replay, or --break-even --model config.json")


def _refuse(options: Namespace, names: Sequence[str], question: str) -> None:
    """Refuse what only the other question takes.

    Raises:
        ConfigError: one of ``names`` is given.
    """
    for name in names:
        if getattr(options, name):
            option = "TRACE" if name == "trace" else f"--{name}"
            raise ConfigError(f"{option} doesn't go with {question}; leave out one of them")


def _add_shared(parser: ArgumentParser) -> None:
    add, count, rate = parser.add_argument, arguments.count, arguments.rate
    add(
        "--chunk-tokens",
        type=count,
        help=f"tokens of a chunk; default: {replay_command.CHUNK_TOKENS} for each hash of a trace, "
        f"or {break_even.CHUNK_TOKENS}",
    )
    add(
        "--token-bytes",
        type=count,
        default=131072,
        help="KV cache bytes for each token; default: %(default)s",
    )
    add(
        "--kv-cache-dtype",
        type=arguments.cache_dtype,
        default="auto",
        metavar="DTYPE",
        help="as vLLM's; default: the model's own, or bfloat16",
    )
    add("--codec", type=arguments.codecs, help=_CODEC)
    add("--prefill-tokens-per-s", type=arguments.prefill_rates, default="10000", help=_PREFILL)
    add(
        "--host-gb-s",
        type=rate,
        default=20,
        help="load speed from host memory; default: %(default)s",
    )
    add("--disk-gb-s", type=rate, default=4, help="load speed from disk; default: %(default)s")
    add("--remote-gb-s", type=arguments.rates, help=_REMOTE)
