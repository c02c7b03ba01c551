"""Measures how saves and restores of other requests slow down a request that decodes.

``python -m benchmarks.bench_decode [--json FILE] [--context N] [--contexts N] [--rounds N]``:
SmolLM2-135M in fp32 on the CPU, two ``vllm serve`` with one OpenMP thread each, one without
kvtransfer, measured alternately: the same request decodes steadily in each while others come, and
the client measures the time between two of its tokens. At most 256 tokens are computed in a step,
so that prefill leaves room for decode.

- ``alone``: nothing else runs. kvtransfer saves what is generated.
- ``save``: others' contexts are computed, in both; with kvtransfer they are saved to Redis too,
  while they are computed and after. So the window goes on for some tokens after the answer.
- ``restore``: the same contexts once more. With kvtransfer they come from Redis: vLLM's own cache
  has been emptied, and host memory keeps nothing (``local_cpu: false``). The other vLLM finds them
  in its own prefix cache: so the model does the same work in both, a question of 16 tokens. To
  compute them there would be other work, and would let kvtransfer look better than nothing.

All answers to a prompt must be alike, and each phase must have reused just what it should.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from operator import methodcaller
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from redis import Redis
from rich.console import Console
from tokenizers import Tokenizer

from benchmarks.measure import append_rows, print_table
from benchmarks.percentiles import percentile_rows
from benchmarks.steady import observe
from benchmarks.ttft_engines import BYTES_PER_TOKEN, CHUNK_TOKENS, NotAsPlanned, wait_for_keys
from benchmarks.vllm_serve import LOCAL_TOKENS, RESTORED_TOKENS, Settings, VllmServe
from demo.engine import kvtransfer_config
from demo.process import EngineError
from demo.report import Screen
from demo.smollm2 import model_folder
from demo.texts import passages, real_text
from kvtransfer.stores.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.measure import Row
    from benchmarks.steady import Observed

QUESTION_TOKENS = 16
STEADY_TOKENS = 64
STEP_TOKENS = 256
LONGEST_TOKENS = 8192
PLAIN = "plain"

Gaps = dict[tuple[str, str], list[float]]
"""Seconds between two tokens, by phase and engine."""


def main() -> None:
    options = _options()
    screen = Screen(Console())
    try:
        with screen.stage(f"contexts of {options.context} tokens") as detail:
            gaps = measure(options.context, options.contexts, options.rounds, detail)
    except (EngineError, NotAsPlanned) as error:
        sys.exit(f"bench_decode: {error}")
    rows = _rows(gaps, options.context)
    print_table(rows, baseline=PLAIN)
    if options.json:
        append_rows(options.json, rows)


def measure(context: int, contexts: int, rounds: int, detail: Callable[[str], None]) -> Gaps:
    """Saves of ``contexts`` contexts one by one, then ``rounds`` restores of all of them."""
    model = model_folder()
    tokenizer, text = Tokenizer.from_file(str(model / "tokenizer.json")), real_text()
    others = passages(tokenizer, text, context + QUESTION_TOKENS, contexts + 1)
    steady = iter(passages(tokenizer, text, STEADY_TOKENS, contexts + rounds + 2))
    gaps: Gaps = defaultdict(list)
    with ExitStack() as running:
        engines = _start(running, model, context, contexts)
        for number, other in enumerate(others):
            detail(f"saves: {number} of {contexts}")
            found = _in_turns(engines, methodcaller("save", next(steady), [other]))
            if number:  # the first one warms up
                _add(gaps, "save", found)
        for number in range(rounds + 1):
            detail(f"restores: {number} of {rounds}")
            found = _in_turns(engines, methodcaller("restore", next(steady), others[1:]))
            if number:
                _add(gaps, "restore", found)
    return gaps


class Plain:
    """Serves without kvtransfer, with vLLM's own prefix cache."""

    def __init__(self, server: VllmServe, context_tokens: int) -> None:
        self._server = server
        self._context_tokens = context_tokens

    def save(self, steady: list[int], others: Sequence[list[int]]) -> Observed:
        """Compute them."""
        return self._observe(steady, others, restored_tokens=0, local_tokens=0)

    def restore(self, steady: list[int], others: Sequence[list[int]]) -> Observed:
        """Find them in vLLM's own prefix cache."""
        held_tokens = len(others) * self._context_tokens
        return self._observe(steady, others, restored_tokens=0, local_tokens=held_tokens)

    def _observe(
        self,
        steady: list[int],
        others: Sequence[list[int]],
        *,
        restored_tokens: int,
        local_tokens: int,
    ) -> Observed:
        before = self._reused()
        observed = observe(self._server.url, steady, others)
        reused = tuple(now - then for now, then in zip(self._reused(), before, strict=True))
        if reused != (restored_tokens, local_tokens):
            raise NotAsPlanned(
                f"restored and found locally: {reused}, not {restored_tokens, local_tokens}"
            )
        return observed

    def _reused(self) -> tuple[int, int]:
        return self._server.counted(RESTORED_TOKENS), self._server.counted(LOCAL_TOKENS)


class Transferring(Plain):
    """Serves with kvtransfer, on the store behind ``redis``."""

    def __init__(self, server: VllmServe, context_tokens: int, redis: Redis) -> None:
        super().__init__(server, context_tokens)
        self._redis = redis

    def save(self, steady: list[int], others: Sequence[list[int]]) -> Observed:
        """Compute them, and wait until Redis holds them."""
        chunks = len(others) * self._context_tokens // CHUNK_TOKENS
        keys = self._redis.dbsize() + 2 * chunks
        observed = super().save(steady, others)
        wait_for_keys(self._redis, keys)
        return observed

    def restore(self, steady: list[int], others: Sequence[list[int]]) -> Observed:
        """Bring them from Redis."""
        self._server.forget_local()
        fetched_tokens = len(others) * self._context_tokens
        return self._observe(steady, others, restored_tokens=fetched_tokens, local_tokens=0)


def _start(running: ExitStack, model: Path, context_tokens: int, contexts: int) -> dict[str, Plain]:
    all_bytes = (contexts + 2) * (context_tokens + STEP_TOKENS) * BYTES_PER_TOKEN
    redis_url = running.enter_context(EmbeddedServer(2 * all_bytes + (256 << 20))).url
    logs = Path(running.enter_context(TemporaryDirectory()))
    # Room for what the steady request generates too.
    plain = Settings(
        model,
        all_bytes + (512 << 20),
        LONGEST_TOKENS,
        ["--max-num-batched-tokens", str(STEP_TOKENS)],
    )
    ours = replace(plain, transfer=_transfer(), redis_url=redis_url)
    servers = [
        running.enter_context(VllmServe(settings, logs / f"{name}.log"))
        for name, settings in ((PLAIN, plain), ("kvtransfer", ours))
    ]
    for server in servers:
        server.wait_until_up()
    redis = running.enter_context(Redis.from_url(redis_url))
    return {
        PLAIN: Plain(servers[0], context_tokens),
        "kvtransfer": Transferring(servers[1], context_tokens, redis),
    }


def _transfer() -> dict[str, object]:
    config = kvtransfer_config()
    config["kv_connector_extra_config"] = {"max_local_cpu_size": 0.5, "local_cpu": False}
    return config


def _in_turns(
    engines: dict[str, Plain], observed: Callable[[Plain], Observed]
) -> dict[str, Observed]:
    found = {name: observed(engine) for name, engine in engines.items()}
    answers = [one.answers for one in found.values()]
    if any(other != answers[0] for other in answers):
        raise NotAsPlanned(f"one prompt, different answers: {answers}")
    return found


def _add(gaps: Gaps, phase: str, found: dict[str, Observed]) -> None:
    for name, observed in found.items():
        gaps["alone", name] += observed.alone_s
        gaps[phase, name] += observed.beside_s


def _rows(gaps: Gaps, context_tokens: int) -> list[Row]:
    found = [
        row
        for (phase, name), seconds in gaps.items()
        for row in percentile_rows("decode", f"{phase}/{context_tokens}", name, seconds)
    ]
    return sorted(found, key=lambda row: row.case)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--context", type=int, default=4096, help="tokens of each other's context")
    parser.add_argument("--contexts", type=int, default=4, help="how many are computed and saved")
    parser.add_argument("--rounds", type=int, default=4, help="how often all are restored")
    options = parser.parse_args()
    for name in ("contexts", "rounds"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: at least 1")
    if options.context < 1 or options.context % CHUNK_TOKENS:
        parser.error(f"--context {options.context}: whole chunks only, {CHUNK_TOKENS} tokens each")
    return options


if __name__ == "__main__":
    main()
