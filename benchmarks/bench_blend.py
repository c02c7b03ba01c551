"""Measures vLLM's time to first token where the passages of a prompt were seen at other places.

``python -m benchmarks.bench_blend [--json FILE] [--tokens N ...] [--rounds N] [--shapes NAME ...]
[--tiers NAME ...]``: SmolLM2-135M in fp32 on the CPU, one OpenMP thread, block size 32; contexts of
real text, made of a system prompt and passages. Cases are ``SHAPE/TOKENS/TIER/POLICY``. Shapes:

- ``reordered``: A, B and C were seen, and C, B, A is asked about;
- ``one-new``: A, B, C and X were seen, and C, B, a new one, A is asked about;
- ``question-first``: as ``reordered``, with the question before the passages, another each time.

vLLM processes take turns on each prompt, one at a time:

- ``cold``: without kvtransfer, everything is computed;
- ``kvtransfer``: passages are blended. ``first16`` computes the first 16 tokens of each anew,
  ``share10`` to ``share20`` 10 to 20 % of each;
- ``exact_hit``: the very same prompt was saved before, and its context is restored exactly;
- ``cold+save``: with kvtransfer, everything is computed, and saved;
- ``lmcache-shm``: LMCache's multiprocess mode, as it comes, where it is installed.

Tiers: ``host`` is host memory of the process that saw the passages; ``redis-own`` a Redis that this
process saved them to; ``redis`` a Redis that another process saved them to.

A case's values are wall seconds to the first token. On a busy machine read the case with ``/cpu``
behind it: CPU seconds of the process, with scheduler, worker and all threads, without Redis.
``less_x`` is how many times as much ``cold`` takes, a median over the prompts.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks import lmcache_mp
from benchmarks.blend_engines import POLICIES, TIERS, Blending, Plain
from benchmarks.blend_prompts import SHAPES, Pairs
from benchmarks.measure import append_rows, print_table, seconds_row
from benchmarks.ttft_engines import CHUNK_TOKENS, NotAsPlanned, Place, check_alike
from demo.process import EngineError
from demo.report import Screen
from demo.smollm2 import model_folder
from demo.texts import real_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.measure import Row
    from demo.engine import Answer

BLOCK_TOKENS = 32
WARM_UP_TOKENS = 2 * CHUNK_TOKENS

Found = dict[tuple[str, int, str], list["Answer"]]
"""Answers by shape, context tokens and name."""


def main() -> None:
    options = _options()
    screen = Screen(Console())
    if lmcache_mp.installed_here() is None:
        print("LMCache is not installed here, so it is not measured beside kvtransfer.")
    try:
        with screen.stage("passages at other places") as detail:
            found = measure(options, detail)
    except (EngineError, NotAsPlanned, ValueError) as error:
        sys.exit(f"bench_blend: {error}")
    rows = [row for tokens in options.tokens for row in measured_rows(found, tokens, options)]
    print_table(rows_by_policy(rows), baseline="cold")
    if options.json:
        append_rows(options.json, rows)


def measure(options: argparse.Namespace, detail: Callable[[str], None]) -> Found:
    """As many prompts as ``options`` say of each shape and length, each answered in every way."""
    model = model_folder()
    pairs = Pairs(model, real_text())
    plan = [(shape, tokens) for tokens in options.tokens for shape in options.shapes]
    found: Found = defaultdict(list)
    with ExitStack() as running:
        logs = Path(running.enter_context(TemporaryDirectory()))
        place = Place(running, model, logs, BLOCK_TOKENS)
        contestants = _contestants(place, options.tiers, pairs.short())
        for number, key in enumerate([(options.shapes[0], WARM_UP_TOKENS), *plan * options.rounds]):
            detail(f"prompt {number} of {len(plan) * options.rounds}")
            pair = pairs.pair(*key)
            answers = {k: v for each in contestants for k, v in each.answers(pair).items()}
            check_alike({name: it for name, it in answers.items() if it.blend is None})
            for name, answer in answers.items() if number else ():
                found[*key, name].append(answer)
    return found


def _contestants(
    place: Place, tiers: Sequence[str], short_ids: list[int]
) -> list[Plain | Blending | lmcache_mp.Reordered]:
    ours = [Plain(place), *(Blending(place, tier, short_ids) for tier in tiers)]
    lmcache = lmcache_mp.installed_here()
    return ours if lmcache is None else [*ours, lmcache_mp.Reordered(place, lmcache)]


def measured_rows(found: Found, tokens: int, options: argparse.Namespace) -> Iterator[Row]:
    for shape in options.shapes:
        for tier in options.tiers:
            for policy in POLICIES:
                names = {
                    "cold": "cold",
                    "kvtransfer": f"{tier}/{policy}",
                    "exact_hit": f"{tier}/exact_hit",
                    "cold+save": f"{tier}/cold+save",
                    lmcache_mp.SHM: lmcache_mp.SHM,
                }
                case = f"{shape}/{tokens}/{tier}/{policy}"
                for impl, name in names.items():
                    if answers := found.get((shape, tokens, name)):
                        yield from _pair_of_rows(case, impl, answers, found[shape, tokens, "cold"])


def _pair_of_rows(
    case: str, impl: str, answers: Sequence[Answer], colds: Sequence[Answer]
) -> Iterator[Row]:
    """Wall seconds to the first token, then CPU seconds."""
    fetched = int(median(answer.fetched_bytes for answer in answers))
    computed = {"computed_tokens": median(_computed_tokens(answer) for answer in answers)}
    for name, cold, own in (
        (case, [it.ttft_s for it in colds], [it.ttft_s for it in answers]),
        (f"{case}/cpu", [it.cpu_s for it in colds], [it.cpu_s for it in answers]),
    ):
        times = {"less_x": median(a / b for a, b in zip(cold, own, strict=True))}
        row = seconds_row("blend", name, impl, own, fetched)
        yield replace(row, more={**times, **computed})


def rows_by_policy(rows: Sequence[Row]) -> list[Row]:
    """The same rows for a table of all policies side by side."""
    merged: dict[tuple[str, str], Row] = {}
    for row in rows:
        shape, tokens, tier, policy, *cpu = row.case.split("/")
        case = "/".join((shape, tokens, tier, *cpu))
        impl = policy if row.impl == "kvtransfer" else row.impl
        merged.setdefault((case, impl), replace(row, case=case, impl=impl))
    return sorted(merged.values(), key=lambda row: row.case)


def _computed_tokens(answer: Answer) -> int:
    told = answer.blend
    if told is None:
        return answer.computed_tokens
    return answer.prompt_tokens - int(told["exact_tokens"]) - int(told["reused_tokens"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--tokens", type=int, nargs="+", default=[2048, 4096])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--tiers", nargs="+", choices=TIERS, default=["host", "redis"])
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least 1")
    for tokens in options.tokens:
        if tokens < 2 * CHUNK_TOKENS or tokens % CHUNK_TOKENS:
            parser.error(f"--tokens {tokens}: two chunks or more, a multiple of {CHUNK_TOKENS}")
    return options


if __name__ == "__main__":
    main()
