"""Engines with different codecs on one store, asked about the same contexts in any order.

``python -m tests.connector.soak_codecs [--requests N] [--seed N] [--json FILE]``: each request is
drawn from the seed and its number, and goes to one of the engines. One line of JSON tells what has
come of all, and is appended to the file. Ends with 1 if an exact engine's answer was another one
than vLLM's own, or its log-probabilities were more than 1e-4 off.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from benchmarks.measure import commit, machine
from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.blend_exactness import distance
from tests.connector.engine_process import Request, Setup
from tests.connector.engines import Engines
from tests.connector.inputs import CHUNK_TOKENS, connected, prompt
from tests.connector.plain_vllm import PlainVllm
from tests.connector.tiny_model import write_model
from tests.connector.vllm_variants import V1
from tests.faults.soak import WELL, append

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.connector.engines import Engine

CODECS = ("naive", "int8", "int4", "cachegen")
EXACT = ("naive",)
"""The codecs whose engines must answer as vLLM does."""
MOST_APART = 1e-4
"""How much a log-probability may differ from vLLM's own."""
_CONTEXTS = 12
_FEW_CHUNKS_GB = 0.003
_SMALL = {"max_model_len": 1024, "kv_cache_memory_bytes": 36 << 15}


class Wrong(Exception):
    """An exact engine was given what isn't exact."""


@contextmanager
def running(engines: Engines, model: str, codecs: Sequence[str]) -> Iterator[dict[str, Engine]]:
    """An engine for each codec, with room for few chunks in host memory, on one store."""
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer(64 << 20))
        settings = {"options": _SMALL, "max_local_cpu_size": _FEW_CHUNKS_GB}
        yield {
            codec: stack.enter_context(
                engines.start(connected(model, server.url, remote_serde=codec, **settings))
            )
            for codec in codecs
        }


def ask(engines: Mapping[str, Engine], right: PlainVllm, seed: int, number: int) -> Counter[str]:
    """Ask one engine; returns counts of what has been seen.

    Raises:
        Wrong: it is exact, and its answer isn't.
    """
    chance = Random(f"{seed} {number}")
    codec = chance.choice(list(engines))
    context = prompt(CHUNK_TOKENS * (2 + chance.randrange(5)), seed=chance.randrange(_CONTEXTS))
    request = Request(context + prompt(9, seed=chance.randrange(50)), 4, with_logprobs=True)
    outcome = engines[codec].generate(request)
    if codec in EXACT and distance(outcome, right.generate(request)) > MOST_APART:
        raise Wrong(f"request {number}, of an engine with {codec}: not what vLLM answers")
    return Counter({codec: 1, f"{codec} restored tokens": outcome.external_tokens})


def main() -> None:
    options = _options()
    began_s, seen, outcome = time.monotonic(), Counter(), WELL
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        model = str(write_model(Path(folder) / "tiny"))
        engines = stack.enter_context(closing(Engines(Path(folder), V1)))
        plain = Setup(model, options={"enable_prefix_caching": False})
        right = PlainVllm(stack.enter_context(engines.start(plain)))
        asked = stack.enter_context(running(engines, model, CODECS))
        try:
            for number in range(options.requests):
                seen += ask(asked, right, options.seed, number)
        except Exception as error:  # noqa: BLE001 - any is a broken promise
            outcome = f"{type(error).__name__}: {error}"
    took_s = round(time.monotonic() - began_s, 1)
    found = {"seed": options.seed, **seen, "took_s": took_s, "outcome": outcome}
    found |= {"commit": commit(), "machine": machine()}
    print(json.dumps(found))
    if options.json is not None:
        append(options.json, found)
    sys.exit(outcome != WELL)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="a file to which the line is appended")
    return parser.parse_args()


if __name__ == "__main__":
    main()
