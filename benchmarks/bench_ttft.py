"""Measures vLLM's time to first token: computed, restored, and found in its own prefix cache.

``python -m benchmarks.bench_ttft [--json FILE] [--contexts N ...] [--blocks N ...] [--repeats N]
[--before FOLDER] [--serdes NAME ...] [--line NAME] [--busy N]``: SmolLM2-135M in fp32 on the CPU, one
OpenMP thread, prompts of a context + 16 tokens. For each block size, vLLM processes take turns on
each text, one at a time:

- ``cold``: without kvtransfer, everything is computed;
- ``cold+save``: with kvtransfer, everything is computed, and saved to Redis;
- ``kvtransfer``: another process with kvtransfer restores the context from Redis, or, its prefix
  cache emptied, from its host memory;
- ``local_hit``: its prefix cache not emptied: the least possible;
- ``before``: both restores, and ``before_save``, by the kvtransfer of a checkout of another commit;
- ``kvtransfer-int8`` and others of ``--serdes``: both restores of chunks whose numbers are quantised,
  by two more processes of 3 GiB each;
- ``lmcache-shm``, ``lmcache-pickle``: the same restore from Redis by LMCache's multiprocess mode
  and both its transports, where it is installed, or ``--lmcache-python`` and ``--lmcache-client``
  say where.

With ``--line`` the restoring processes of kvtransfer reach Redis through one that is as slow. With
``--busy N`` that many other processes keep a core busy each meanwhile. All
exact answers to a prompt must be alike, and each process must have reused just what it should.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.console import Console
from tokenizers import Tokenizer

from benchmarks import lmcache_mp
from benchmarks.measure import append_rows, print_table, seconds_row
from benchmarks.restore_timeline import neighbours
from benchmarks.slow_line import LINES, SlowLine
from benchmarks.ttft_engines import (
    BYTES_PER_TOKEN,
    CHUNK_TOKENS,
    NotAsPlanned,
    Ours,
    Place,
    Plain,
    Prompt,
    check_alike,
)
from demo.process import EngineError
from demo.report import Screen
from demo.smollm2 import model_folder
from demo.texts import passages, real_text
from kvtransfer.chunks.quantisation import CODECS
from kvtransfer.stores.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.measure import Row
    from benchmarks.ttft_engines import Contestant
    from demo.engine import Answer

QUESTION_TOKENS = 16
TIERS = {
    "redis": {
        "redis": "kvtransfer",
        "before/redis": "before",
        **{name: name for name in lmcache_mp.TRANSPORTS},
    },
    "host": {"host": "kvtransfer", "before/host": "before"},
}
"""By where the context comes from: whose answers are compared, by their names there."""
SHARED = {
    "cold": "cold",
    "cold+save": "cold+save",
    "before/cold+save": "before_save",
    "local_hit": "local_hit",
}

Times = dict[tuple[int, str], list[float]]
"""Seconds by context tokens and name of the answer."""


def main() -> None:
    options = _options()
    screen = Screen(Console())
    if _lmcache(options) is None:
        print("LMCache is not installed here, so it is not measured beside kvtransfer.")
    for block_tokens in options.blocks:
        try:
            with (
                screen.stage(f"vLLM with a block size of {block_tokens}") as detail,
                neighbours(options.busy),
            ):
                times = measure(block_tokens, options, detail)
        except (EngineError, NotAsPlanned) as error:
            sys.exit(f"bench_ttft: {error}")
        rows = [
            row
            for context in options.contexts
            for row in _rows(times, context, block_tokens, _conditions(options))
        ]
        print_table(rows, baseline="local_hit")
        if options.json:
            append_rows(options.json, rows)


def measure(block_tokens: int, options: argparse.Namespace, detail: Callable[[str], None]) -> Times:
    """As many texts as ``options`` say for each context, each answered in every way."""
    model = model_folder()
    rounds = [CHUNK_TOKENS, *sorted(options.contexts) * options.repeats]  # the first warms up
    times: Times = defaultdict(list)
    with ExitStack() as running:
        logs = Path(running.enter_context(TemporaryDirectory()))
        place = Place(running, model, logs, block_tokens)
        url = _server(running, rounds)
        own = Ours(place, url, reader_url=_behind(running, url, options.line))
        contestants: list[Contestant] = [Plain(place), own]
        if options.before:
            checkout = {"PYTHONPATH": str(options.before.resolve())}
            contestants.append(Ours(place, _server(running, rounds), "before/", checkout))
        for serde in options.serdes:
            url = _server(running, rounds)
            reader_url = _behind(running, url, options.line)
            environment = {"KVTRANSFER_REMOTE_SERDE": serde}
            contestants.append(Ours(place, url, f"{serde}/", environment, reader_url=reader_url))
        if (lmcache := _lmcache(options)) is not None:
            contestants.append(lmcache_mp.Theirs(place, _server(running, rounds), lmcache))
        for number, prompt in enumerate(_prompts(model, rounds)):
            detail(f"prompt {number} of {len(rounds) - 1}")
            found = _answers(contestants, prompt)
            for name, answer in found.items() if number else ():
                times[prompt.context_tokens, name].append(answer.ttft_s)
    return times


def _answers(contestants: Sequence[Contestant], prompt: Prompt) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    for contestant in contestants:
        found |= contestant.answers(prompt)
    check_alike({name: answer for name, answer in found.items() if _is_exact(name)})
    return found


def _is_exact(name: str) -> bool:
    return name.partition("/")[0] not in CODECS


def _behind(running: ExitStack, url: str, line: str | None) -> str:
    """The same server, behind a slower line if there is one."""
    if line is None:
        return url
    parts = urlsplit(url)
    assert parts.port is not None
    slow = running.enter_context(SlowLine(parts.port, LINES[line]))
    return parts._replace(netloc=parts.netloc.replace(str(parts.port), str(slow.port))).geturl()


def _server(running: ExitStack, rounds: Sequence[int]) -> str:
    """The URL of a fresh one: chunks are the same for every block size, and would be found."""
    payload_bytes = sum(rounds) * BYTES_PER_TOKEN
    return running.enter_context(EmbeddedServer(2 * payload_bytes + (256 << 20))).url


def _prompts(model: Path, rounds: Sequence[int]) -> Iterator[Prompt]:
    """One for each length in ``rounds``, no two with a block in common."""
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    longest = max(rounds) + QUESTION_TOKENS
    for text, context in zip(
        passages(tokenizer, real_text(), longest, len(rounds)), rounds, strict=True
    ):
        yield Prompt(text[: context + QUESTION_TOKENS], context)


def _lmcache(options: argparse.Namespace) -> lmcache_mp.Installed | None:
    if options.lmcache_python:
        return lmcache_mp.Installed(options.lmcache_python, options.lmcache_client)
    return lmcache_mp.installed_here()


def _conditions(options: argparse.Namespace) -> dict[str, str]:
    """What makes the restores from each tier slower than on a quiet machine, for the cases' names."""
    busy = f"-busy{options.busy}" if options.busy else ""
    line = f"-{options.line}" if options.line else ""
    return {"redis": line + busy, "host": busy}


def _rows(
    times: Times, context: int, block_tokens: int, conditions: Mapping[str, str]
) -> Iterator[Row]:
    for tier, exact in TIERS.items():
        restored = {**exact, **{f"{codec}/{tier}": f"kvtransfer-{codec}" for codec in CODECS}}
        case = f"restored/{context}/{tier}{conditions[tier]}/block{block_tokens}"
        for name, impl in {**SHARED, **restored}.items():
            if (context, name) in times:
                moved_bytes = context * BYTES_PER_TOKEN if name in restored else 0
                yield seconds_row("ttft", case, impl, times[context, name], moved_bytes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--contexts", type=int, nargs="+", default=[512, 2048, 4096])
    parser.add_argument("--blocks", type=int, nargs="+", default=[128, 32])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--before", type=Path, help="folder of a checkout to measure beside this")
    parser.add_argument("--serdes", nargs="+", choices=CODECS, default=[], help="lossy ones, too")
    parser.add_argument("--line", choices=LINES, help="between the restoring process and Redis")
    parser.add_argument("--busy", type=int, default=0, help="processes that keep a core busy each")
    parser.add_argument("--lmcache-python", default="", help="runs LMCache's server")
    parser.add_argument("--lmcache-client", default="", help="folder with what vLLM imports of it")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats {options.repeats}: at least 1")
    for context in options.contexts:
        if context < 1 or context % CHUNK_TOKENS:
            parser.error(f"--contexts {context}: whole chunks only, a multiple of {CHUNK_TOKENS}")
    return options


if __name__ == "__main__":
    main()
