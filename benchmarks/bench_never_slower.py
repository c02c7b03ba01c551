"""Measures time to first token with a slow Redis, beside computing and beside an unslowed load.

``python -m benchmarks.bench_never_slower [--json FILE] [--context N] [--prompts N] [--lines NAME ...]``:
SmolLM2-135M in fp32 on the CPU, one OpenMP thread, block size 32, prompts of a context + 16 tokens,
which one vLLM has saved to an embedded Valkey. Behind each slow connection to it (1, 10 and
100 MB/s, unlimited, and 300 ms for each reply) a fresh vLLM, with kvtransfer's defaults but without
host memory, answers all prompts twice, to learn; then three answer each prompt alternately:

- ``cold``: without kvtransfer, everything is computed;
- ``load``: everything is loaded, without the slow connection;
- ``kvtransfer``: behind the slow connection, with what it has learned.

``learning`` is the time of its first answers. ``of the better`` is its time over that of the better
choice: computing, or a load that takes as much longer as the connection needs (its bytes at the
connection's rate, and its delay twice: to look up and to load).
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from redis import Redis
from rich.console import Console
from tokenizers import Tokenizer

from benchmarks.measure import append_rows, print_table, ratio_row, seconds_row
from benchmarks.slow_line import LINES, Pace, SlowLine
from benchmarks.ttft_engines import (
    BYTES_PER_TOKEN,
    CHUNK_TOKENS,
    NotAsPlanned,
    Place,
    Prompt,
    check,
    check_alike,
    rest,
    wait_for_keys,
)
from demo.engine import kvtransfer_config
from demo.process import EngineError
from demo.report import Screen
from demo.smollm2 import model_folder
from demo.texts import passages, real_text
from kvtransfer.stores.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.measure import Row
    from demo.engine import Answer
    from demo.process import EngineProcess

QUESTION_TOKENS = 16
BLOCK_TOKENS = 32
ALWAYS = 1e9
"""A margin by which every load pays."""


@dataclass
class Times:
    """Seconds behind one line; but for the learning, one for each prompt."""

    learning: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    kvtransfer: list[float] = field(default_factory=list)
    fetched_bytes: list[int] = field(default_factory=list)
    """By kvtransfer, when measured: vLLM counts tokens of loads that failed as restored too."""


class Bench:
    """Prompts in a store, and who answers them without a slow line between."""

    def __init__(self, place: Place, server: EmbeddedServer, prompts: Sequence[Prompt]) -> None:
        self._place = place
        self._server = server
        self._prompts = prompts
        self._plain = place.start("plain", None, {})
        self._loading = self._reader("loading", server.port, load_margin=ALWAYS)
        self._save(place.start("writer", kvtransfer_config(), _at(server, server.port)))

    def measure(self, line: str) -> Times:
        """By a vLLM that is started behind it, and ended."""
        times = Times()
        with self._line(LINES[line]) as port, self._reader(f"behind-{line}", port) as reader:
            for prompt in [*self._prompts, *self._prompts]:
                times.learning.append(_answer(reader, prompt).ttft_s)
            for prompt in self._prompts:
                self._take_turns(reader, prompt, times)
        return times

    def _take_turns(self, reader: EngineProcess, prompt: Prompt, times: Times) -> None:
        found = {
            "cold": _answer(self._plain, prompt),
            "load": _answer(self._loading, prompt),
            "kvtransfer": _answer(reader, prompt),
        }
        check(found["cold"], "cold", restored_tokens=0, local_tokens=0)
        check(found["load"], "load", restored_tokens=prompt.context_tokens, local_tokens=0)
        check_alike(found)
        for name, answer in found.items():
            getattr(times, name).append(answer.ttft_s)
        times.fetched_bytes.append(found["kvtransfer"].fetched_bytes)

    @contextmanager
    def _line(self, pace: Pace) -> Iterator[int]:
        """The port at this end of it. One without limits is none: a proxy would slow it."""
        if pace == Pace():
            yield self._server.port
            return
        with SlowLine(self._server.port, pace) as slow:
            yield slow.port

    def _reader(self, name: str, port: int, **settings: object) -> EngineProcess:
        transfer = kvtransfer_config()
        transfer["kv_connector_extra_config"] |= {"local_cpu": False, **settings}
        return self._place.start(name, transfer, _at(self._server, port))

    def _save(self, writer: EngineProcess) -> None:
        """The prompts' contexts, to the store."""
        chunks = sum(prompt.context_tokens // CHUNK_TOKENS for prompt in self._prompts)
        with writer, Redis.from_url(self._server.url) as redis:
            for prompt in self._prompts:
                writer.answer(prompt.job)
            wait_for_keys(redis, 2 * chunks)


def main() -> None:
    options = _options()
    screen = Screen(Console())
    found: list[Row] = []
    try:
        with ExitStack() as running:
            with screen.stage(f"{options.prompts} prompts are computed and saved"):
                bench = _bench(running, options.context, options.prompts)
            for line in options.lines:
                with screen.stage(f"Redis behind {line}"):
                    found += rows(line, options.context, bench.measure(line))
    except (EngineError, NotAsPlanned) as error:
        sys.exit(f"bench_never_slower: {error}")
    print_table(found, baseline="cold")
    if options.json:
        append_rows(options.json, found)


def _bench(running: ExitStack, context_tokens: int, count: int) -> Bench:
    model = model_folder()
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    texts = passages(tokenizer, real_text(), context_tokens + QUESTION_TOKENS, count)
    size_bytes = count * context_tokens * BYTES_PER_TOKEN
    server = running.enter_context(EmbeddedServer(2 * size_bytes + (256 << 20)))
    logs = Path(running.enter_context(TemporaryDirectory()))
    place = Place(running, model, logs, BLOCK_TOKENS)
    return Bench(place, server, [Prompt(text, context_tokens) for text in texts])


def _at(server: EmbeddedServer, port: int) -> dict[str, str]:
    """The environment that leads to ``server`` by way of ``port``."""
    url = server.url.replace(f":{server.port}/", f":{port}/")
    return {"KVTRANSFER_REMOTE_URL": url}


def _answer(engine: EngineProcess, prompt: Prompt) -> Answer:
    """With nothing in vLLM's own prefix cache."""
    rest()
    return engine.answer(replace(prompt.job, forget_local=True))


def rows(line: str, context_tokens: int, times: Times) -> Iterator[Row]:
    """Yield the rows of ``times`` that were measured behind ``line``."""
    case, nbytes = f"{context_tokens}/{line}", context_tokens * BYTES_PER_TOKEN
    for name in ("cold", "load", "learning"):
        yield seconds_row("never_slower", case, name, getattr(times, name))
    restored = sum(times.fetched_bytes) / len(times.fetched_bytes) / nbytes
    took = seconds_row("never_slower", case, "kvtransfer", times.kvtransfer)
    yield replace(took, more={"restored": restored})
    slowed_s = line_s(LINES[line], nbytes)
    ratios = [
        took_s / min(cold_s, load_s + slowed_s)
        for took_s, cold_s, load_s in zip(times.kvtransfer, times.cold, times.load, strict=True)
    ]
    yield ratio_row("never_slower", f"{case}/of the better", "kvtransfer", ratios)


def line_s(pace: Pace, nbytes: int) -> float:
    """Compute the least time that the line adds to a load."""
    wire_s = 0.0 if pace.bytes_per_s is None else nbytes / pace.bytes_per_s
    return wire_s + 2 * pace.delay_s


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--context", type=int, default=2048, help="tokens of each prompt's context")
    parser.add_argument("--prompts", type=int, default=6)
    parser.add_argument("--lines", nargs="+", choices=LINES, default=list(LINES))
    options = parser.parse_args()
    if options.prompts < 1:
        parser.error(f"--prompts {options.prompts}: at least 1")
    if options.context < 1 or options.context % CHUNK_TOKENS:
        parser.error(f"--context {options.context}: whole chunks only, {CHUNK_TOKENS} tokens each")
    return options


if __name__ == "__main__":
    main()
