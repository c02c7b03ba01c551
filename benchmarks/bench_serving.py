"""Serves chat and RAG on two vLLM servers behind a round robin, with and without kvtransfer.

``python -m benchmarks.bench_serving [--json FILE] [--seed N] [--rounds N] [--scale X] [--rate X]
[--only NAME ...] [--loads NAME ...] [--servers N]``: SmolLM2-135M in fp32 on the CPU, two ``vllm
serve`` with one OpenMP thread each, asked alternately over HTTP. The text is from a real book. Requests come as a Poisson process,
whether or not the last one was answered; a conversation's next turn comes a while after its last
answer. ``requests`` a second show a deployment's limit only if they arrive faster than it serves
them: ``--rate`` multiplies the arrivals. Three deployments, each started with empty caches, serve the very same
requests, one after the other:

- ``no-cache``: every prompt is computed whole (``--no-enable-prefix-caching``);
- ``vllm``: as vLLM comes, each server with its own prefix cache;
- ``kvtransfer``: the same, and both share one embedded Valkey;
- ``blend``, only where it is asked for: the same, and passages are reused anywhere in a prompt.

Each server has room for the KV cache of some 5,800 tokens: less than what is asked about, as it is
with large models. kvtransfer has a quarter of a gibibyte of host memory for each server beside it,
and the Valkey holds everything. Loads are in ``benchmarks/loads.py``:

- ``chat``: conversations of six turns, each turn on all that was said before;
- ``rag``: questions about documents of Zipf popularity, the document first;
- ``passages``, only where it is asked for: questions about four passages each, of Zipf popularity,
  in random order.

``hit rate`` is the share of prompt tokens that were not computed, wherever they came from;
``same answers`` the share of requests answered, token by token, as by the first deployment. In
fp32 a batch of another shape may round a near tie the other way, with or without a cache.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from tokenizers import Tokenizer

from benchmarks.deployment import Deployment
from benchmarks.loads import (
    ChatShape,
    Conversation,
    PassagesShape,
    RagShape,
    chat_load,
    passages_load,
    rag_load,
)
from benchmarks.measure import Row, append_rows, print_table, quantiles
from benchmarks.percentiles import percentile_rows
from benchmarks.vllm_serve import Settings, VllmServe
from demo.engine import kvtransfer_config
from demo.process import EngineError
from demo.report import Screen
from demo.smollm2 import model_folder
from demo.texts import real_text
from kvtransfer.stores.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.deployment import Served

    Load = list[Conversation]
    Single = TypeVar("Single", RagShape, PassagesShape)

KV_CACHE_BYTES = 256 << 20
LONGEST_TOKENS = 4096
STORE_BYTES = 4 << 30
WARM_UP = Conversation(0.0, "Answer.", ("Ready?",), ())
DEPLOYMENTS = ("no-cache", "vllm", "kvtransfer", "blend")
LOADS = ("chat", "rag", "passages")


def main() -> None:
    options = _options()
    screen = Screen(Console())
    loads = _loads(options)
    served: dict[tuple[str, str], list[Served]] = {}
    try:
        for _ in range(options.rounds):
            for name in options.only:
                for load, result in _measure(screen, name, loads, options.servers).items():
                    served.setdefault((load, name), []).append(result)
    except EngineError as error:
        sys.exit(f"bench_serving: {error}")
    rows = [row for load in loads for row in _rows(load, served, options.only)]
    rows.sort(key=lambda row: row.case)
    print_table(rows, baseline="vllm" if "vllm" in options.only else options.only[0])
    if options.json:
        append_rows(options.json, rows)


def _loads(options: argparse.Namespace) -> dict[str, Load]:
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    text, seed, scale, rate = real_text(), options.seed, options.scale, options.rate
    chat, rag, found = ChatShape(), RagShape(), PassagesShape()
    makers = {
        "chat": lambda: chat_load(
            replace(
                chat,
                conversations=_scaled(chat.conversations, scale),
                starts_per_s=chat.starts_per_s * rate,
                thinks_s=chat.thinks_s / rate,
            ),
            *(tokenizer, text, seed),
        ),
        "rag": lambda: rag_load(_faster(rag, scale, rate), tokenizer, text, seed),
        "passages": lambda: passages_load(_faster(found, scale, rate), tokenizer, text, seed),
    }
    return {name: makers[name]() for name in options.loads}


def _faster(shape: Single, scale: float, rate: float) -> Single:
    """The shape with more requests, which arrive faster."""
    requests = _scaled(shape.requests, scale)
    return replace(shape, requests=requests, starts_per_s=shape.starts_per_s * rate)


def _scaled(count: int, scale: float) -> int:
    return max(2, round(count * scale))


def _measure(screen: Screen, name: str, loads: dict[str, Load], servers: int) -> dict[str, Served]:
    """What a fresh deployment makes of each load, in turn."""
    with ExitStack() as running:
        with screen.stage(f"{name}: {servers} vLLM servers start"):
            deployment = _start(running, name, servers)
            deployment.serve([WARM_UP] * servers)
        results = {}
        for load, conversations in loads.items():
            with screen.stage(f"{name}: {load}"):
                results[load] = deployment.serve(conversations)
    return results


def _start(running: ExitStack, name: str, servers: int) -> Deployment:
    logs = Path(running.enter_context(TemporaryDirectory()))
    settings = _settings(running, name)
    started = [
        running.enter_context(VllmServe(settings, logs / f"{name}-{number}.log"))
        for number in range(servers)
    ]
    for server in started:
        server.wait_until_up()
    return Deployment(started)


def _settings(running: ExitStack, name: str) -> Settings:
    plain = Settings(model_folder(), KV_CACHE_BYTES, LONGEST_TOKENS)
    match name:
        case "no-cache":
            return replace(plain, options=["--no-enable-prefix-caching"])
        case "vllm":
            return plain
    url = running.enter_context(EmbeddedServer(STORE_BYTES)).url
    transfer = kvtransfer_config()
    blend = {"blend": "all"} if name == "blend" else {}
    transfer["kv_connector_extra_config"] = {"max_local_cpu_size": 0.25, **blend}
    return replace(plain, transfer=transfer, redis_url=url)


def _rows(
    load: str, served: dict[tuple[str, str], list[Served]], names: Sequence[str]
) -> Iterator[Row]:
    for name in names:
        seconds = [s for result in served[load, name] for s in result.ttft_s]
        yield from percentile_rows("serving", f"{load}/ttft", name, seconds)
        yield _row(load, "requests", name, [r.requests_per_s for r in served[load, name]], "1/s")
        yield _row(load, "hit rate", name, [r.counts.hit_rate for r in served[load, name]], "")
        first = served[load, names[0]][0].answers
        alike = [_alike(first, result.answers) for result in served[load, name]]
        yield _row(load, "same answers", name, alike, "")


def _row(load: str, what: str, name: str, values: Sequence[float], unit: str) -> Row:
    spread = quantiles(values)
    return Row("serving", f"{load}/{what}", name, median(values), unit, spread, len(values))


def _alike(some: Sequence[list[int]], others: Sequence[list[int]]) -> float:
    return sum(a == b for a, b in zip(some, others, strict=True)) / len(some)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--rounds", type=int, default=1, help="how often each deployment is started"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of requests")
    parser.add_argument(
        "--rate", type=float, default=1.0, help="factor on the rate of arrivals (default: 1)"
    )
    parser.add_argument("--only", nargs="+", choices=DEPLOYMENTS, default=list(DEPLOYMENTS[:3]))
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS[:2]))
    parser.add_argument("--servers", type=int, default=2)
    options = parser.parse_args()
    for name in ("rounds", "servers"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: at least 1")
    for name in ("scale", "rate"):
        if not getattr(options, name) > 0:
            parser.error(f"--{name} {getattr(options, name)}: more than 0")
    return options


if __name__ == "__main__":
    main()
