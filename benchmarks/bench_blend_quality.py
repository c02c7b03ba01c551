"""Measures what blending costs in quality: the model's predictions against those of full prefill.

``python -m benchmarks.bench_blend_quality [--json FILE] [--sets NAME ...] [--n N] [--seed N]``:
SmolLM2-135M in fp32 on the CPU, over the connector in one vLLM. Cases are ``SET/PROVENANCE``. Sets:

- ``cont-2k``: three passages of 640 tokens of a text, and its next 64 tokens;
- ``qa-2k``: three such passages with an access code each, one of which is asked for;
- ``cont-4x160``: four passages of 160 tokens of a text, and its next 64 tokens;
- ``chain-4x160``: four such passages, three of which tell a part of what leads to the access code.

Provenance: passages were seen before in ``other-order``, in one prompt; or ``alone``, each in a
prompt of its own. Policies, the rows of a case: ``first0`` and ``first16`` compute that many tokens
of each passage anew, ``share10`` to ``share20`` 10 to 20 % of each.

A value is the mean KL divergence from full prefill over ``n`` examples, in nats a token, at the
tokens of the continuation or of the answer. ``_se`` is the standard error of a mean, ``d_`` the mean
of the differences to ``first16`` by example. ``top1`` is the share of tokens with the same likeliest
next one. ``nll`` is the negative log-probability of these tokens, ``right`` the share of examples
with each of them the likeliest, and ``full_`` is the same of full prefill.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks.measure import Row, append_rows, print_table, quantiles
from benchmarks.quality_sets import SETS, Excerpts, seen_before
from benchmarks.tail_engine import Asked, Told
from benchmarks.ttft_engines import NotAsPlanned
from demo.engine import Setup, kvtransfer_config
from demo.process import EngineError, EngineProcess
from demo.report import Screen
from demo.smollm2 import model_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.quality_sets import Example

POLICIES: dict[str, dict[str, Any]] = {
    "first0": {"first": 0},
    "first16": {"first": 16},
    "share10": {"share": 0.1},
    "share15": {"share": 0.15},
    "share20": {"share": 0.2},
}
BASELINE = "first16"
FULL = "full"
CHUNK_TOKENS = 64
SETTINGS: dict[str, Any] = {
    "chunk_size": CHUNK_TOKENS,
    "max_local_cpu_size": 0.5,
    "load_margin": 1e9,  # what is blended is measured here, whatever time it takes
    "eviction_policy": "lru",
}
_BLOCK_TOKENS = 32
_TAIL_ENGINE = Path(__file__).with_name("tail_engine.py")
# Random tokens fill the last chunk of what is seen: it is saved, and nothing before it changes.
_FILLING_IDS = range(1000, 40000)
_FURTHER_STEPS = 16
_SHARED = 0.9
"""The least share of the passages' tokens that must be found."""

Results = dict[tuple[str, str], list[Told]]
"""By case and policy; ``FULL`` is full prefill."""


def main() -> None:
    options = _options()
    screen = Screen(Console())
    rows: list[Row] = []
    try:
        with ExitStack() as running:
            with screen.stage("vLLM with kvtransfer starts"):
                engine = _start(running)
            for name in options.sets:
                with screen.stage(name) as detail:
                    results = measure(engine, name, options, detail)
                rows += quality_rows(results)
    except (EngineError, NotAsPlanned, FileNotFoundError) as error:
        sys.exit(f"bench_blend_quality: {error}")
    print_table([_short(row) for row in rows], baseline=BASELINE)
    if options.json:
        append_rows(options.json, rows)


def measure(
    engine: EngineProcess, name: str, options: argparse.Namespace, detail: Callable[[str], None]
) -> Results:
    """Ask the examples of a set, by every policy, from every provenance."""
    chance = Random(f"{name}/{options.seed}")
    excerpts = Excerpts(model_folder())
    results: Results = defaultdict(list)
    for number in range(options.n):
        detail(f"example {number + 1} of {options.n}")
        example = SETS[name].example(excerpts, chance)
        salt = f"{name}/{number}"
        full = _ask(engine, example, salt, None)
        for provenance in SETS[name].seen:
            case = f"{name}/{provenance}"
            results[case, FULL].append(full)
            _save(engine, seen_before(example, provenance), f"{salt}/{provenance}", chance)
            for policy, wish in POLICIES.items():
                blend = {"blend": True, "segments": example.segments, **wish}
                told = _ask(engine, example, f"{salt}/{provenance}", blend)
                _check(told, example, policy, case)
                results[case, policy].append(told)
    return results


def quality_rows(results: Mapping[tuple[str, str], Sequence[Told]]) -> Iterator[Row]:
    """One row for each case and policy."""
    for (case, policy), told in results.items():
        if policy == FULL:
            continue
        kl = [one.kl for one in told]
        more = {
            **_compared("kl", told, results[case, BASELINE]),
            **_compared("top1", told, results[case, BASELINE]),
            "top1": mean(one.top1 for one in told),
            "nll": mean(one.nll for one in told),
            "full_nll": mean(one.nll for one in results[case, FULL]),
            "right": mean(one.right for one in told),
            "full_right": mean(one.right for one in results[case, FULL]),
            "gap_tokens": mean(one.blend["gap_tokens"] for one in told if one.blend),
        }
        spread = quantiles(kl)
        note = "value: a mean"
        yield Row(
            "blend_quality", case, policy, mean(kl), "nats", spread, len(kl), more=more, note=note
        )


def _short(row: Row) -> Row:
    """The row with as many figures as fit a terminal."""
    shown = ("kl_se", "d_kl", "d_kl_se", "top1")
    return replace(row, unit="", more={name: row.more[name] for name in shown})


def _compared(name: str, told: Sequence[Told], base: Sequence[Told]) -> dict[str, float]:
    own = [getattr(one, name) for one in told]
    differences = [a - getattr(b, name) for a, b in zip(own, base, strict=True)]
    return {
        f"{name}_se": _standard_error(own),
        f"d_{name}": mean(differences),
        f"d_{name}_se": _standard_error(differences),
    }


def _standard_error(values: Sequence[float]) -> float:
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def _ask(engine: EngineProcess, example: Example, salt: str, blend: dict[str, Any] | None) -> Told:
    asked = Asked(example.prompt_ids, salt, example.scored_tokens, blend)
    return Told(**engine.ask(asdict(asked)))


def _save(engine: EngineProcess, prompts: Sequence[list[int]], salt: str, chance: Random) -> None:
    for prompt in prompts:
        filling = chance.choices(_FILLING_IDS, k=-len(prompt) % CHUNK_TOKENS)
        engine.ask(asdict(Asked([*prompt, *filling], salt)))
    for first in range(_FURTHER_STEPS):  # each step saves a few chunks, and ends earlier saves
        engine.ask(asdict(Asked(list(range(first, first + 31)), salt)))


def _check(told: Told, example: Example, policy: str, case: str) -> None:
    """Raises NotAsPlanned unless what is not computed anew was found."""
    blend = told.blend or {}
    length = example.segments[-1][1] - example.segments[0][0]
    shared = length - blend.get("gap_tokens", length)
    wish = POLICIES[policy]
    anew = wish.get("first", 0) * len(example.segments) + wish.get("share", 0.0) * length
    if blend.get("has_failed", True) or shared < _SHARED * (length - anew) - len(
        example.prefix_ids
    ):
        raise NotAsPlanned(f"{case}, {policy}: of {length} tokens of passages: {blend}")


def _start(running: ExitStack) -> EngineProcess:
    logs = Path(running.enter_context(TemporaryDirectory()))
    transfer = kvtransfer_config()
    transfer["kv_connector_extra_config"] = SETTINGS
    setup = Setup(str(model_folder()), transfer, _BLOCK_TOKENS)
    environment = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    engine = running.enter_context(
        EngineProcess(setup, logs / "engine.log", environment, _TAIL_ENGINE)
    )
    engine.wait_until_up()
    return engine


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--n", type=int, default=24, help="examples of each set (default: 24)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.n < 1:
        parser.error(f"--n {options.n}: at least 1")
    return options


if __name__ == "__main__":
    main()
