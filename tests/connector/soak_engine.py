"""Faults at random moments while a real vLLM answers requests; each drawn from seed and number.

``python -m tests.connector.soak_engine [--faults N] [--seed N] [--kind NAME] [--seconds N] [--json
FILE]``: a line a fault, appended to the file; those that it has of the same seed are not run again.
Every few faults another kind of model is drawn. Ends with 1 if an answer was another one than
vLLM's own, if anything hung, or if hits didn't resume.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from benchmarks.measure import commit, machine
from tests.connector.engine_process import Request
from tests.connector.engines import Engines
from tests.connector.ground import Ground, known_requests
from tests.connector.inputs import prompt
from tests.connector.models.kinds import KINDS, LLAMA
from tests.connector.models.tiny import TinyModel
from tests.faults.known import DATA, FAULTS
from tests.faults.proxy import REPLY, REQUEST
from tests.faults.scenario import Fault, nothing
from tests.faults.soak import WELL, append, lines

if TYPE_CHECKING:
    from collections.abc import Iterator

ENGINE_KILLED = Fault("engine killed", nothing)
RESET = Fault("prefix cache reset", nothing)
WEIGHTS_REPLACED = Fault("connector reset", nothing)
_KINDS = (*FAULTS, *[RESET, WEIGHTS_REPLACED, ENGINE_KILLED] * 2)
_STRUCK_ENTRIES = 12
_FAULTS_OF_A_KIND = 30
# Of the others, an answer depends on how many of its tokens were restored.
_MODELS = {kind.name: kind for kind in (LLAMA, *KINDS) if kind.splits_exactly}
_HANG_S = 120.0


@dataclass(frozen=True)
class Storm:
    """What is going to happen to which requests, all of it drawn beforehand."""

    fault: Fault
    requests: tuple[Request, ...]
    aborted: frozenset[int]
    """Of the requests, by their place."""
    steps: int
    """Before they are aborted, and the engine is killed or reset."""
    way: str
    after_bytes: int
    """On that way the fault comes about, unless ``wait_s`` have passed before."""
    wait_s: float
    hold_s: float

    @classmethod
    def drawn(cls, chance: random.Random, number: int, fault: Fault | None = None) -> Storm:
        requests = chance.sample(known_requests(), k=chance.randint(1, 4))
        requests.append(
            Request(prompt(chance.randint(64, 400), seed=10_000 + number), answer_tokens=4)
        )
        requests += requests[: chance.randint(0, 1)]  # the same once more
        count = chance.choice((0, 0, 1, 2))
        return cls(
            fault=chance.choice(_KINDS) if fault is None else fault,
            requests=tuple(requests),
            aborted=frozenset(chance.sample(range(len(requests)), k=count)),
            steps=chance.randrange(12),
            way=chance.choice((REQUEST, REPLY)),
            after_bytes=int(10 ** chance.uniform(1, 6)),
            wait_s=chance.uniform(0.0, 0.2),
            hold_s=chance.uniform(0.0, 0.3),
        )


def rage(ground: Ground, storm: Storm) -> dict[str, object]:
    """Let it happen, and see that all is well afterwards; returns what has been seen.

    Raises:
        Wrong: a promise was broken.
        EngineError: the engine ended, or hung.
    """
    ground.assert_whole()
    requests, engine = list(storm.requests), ground.engine
    ground.proxy.trip(storm.way, storm.after_bytes, lambda: _inject(ground, storm.fault))
    try:
        names = engine.submit(*requests)
        for _ in range(storm.steps):
            engine.step()
        engine.abort(*(names[i] for i in storm.aborted))
        if storm.fault is ENGINE_KILLED:
            ground.restart_engine()
            return {"resumed_s": round(ground.assert_hits(requests[0]), 3)}
        if storm.fault in (RESET, WEIGHTS_REPLACED):
            engine.reset(connector=storm.fault is WEIGHTS_REPLACED)
        outcome = _run_through(ground, storm)
    finally:
        ground.proxy.untrip()
        storm.fault.heal(ground)
    ground.check(requests, outcome, set(storm.aborted))
    resumed_s = ground.assert_hits(requests[0])
    return {
        "external_tokens": outcome.external_tokens,
        "preemptions": outcome.preemptions,
        "resumed_s": round(resumed_s, 3),
    }


def _run_through(ground: Ground, storm: Storm) -> object:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ground.engine.run)
        time.sleep(storm.wait_s)
        if ground.proxy.untrip():
            _inject(ground, storm.fault)
        time.sleep(storm.hold_s)
        storm.fault.heal(ground)
        return running.result(_HANG_S)


def _inject(ground: Ground, fault: Fault) -> None:
    if fault not in DATA:
        fault.inject(ground)
        return
    for _ in range(_STRUCK_ENTRIES):
        with suppress(redis.ResponseError):  # what an earlier fault has put there is no entry
            fault.inject(ground)


def soak(
    ground: Ground, numbers: Iterator[int], seed: int, path: Path, kind: str
) -> Iterator[dict]:
    """Run storms over a model of ``kind`` and append a line of each to ``path``."""
    for number in numbers:
        chance = ground.chance = random.Random(f"{seed}/{number}")
        storm = Storm.drawn(chance, number)
        line = {"seed": seed, "number": number, "kind": kind, "fault": storm.fault.name}
        line |= {"requests": len(storm.requests), "aborted": len(storm.aborted)}
        began_s = time.monotonic()
        line |= outcome(ground, storm)
        line["took_s"] = round(time.monotonic() - began_s, 3)
        append(path, line)
        yield line


def outcome(ground: Ground, storm: Storm) -> dict[str, object]:
    """What was seen, and ``WELL`` or what was wrong."""
    try:
        return {**rage(ground, storm), "outcome": WELL}
    except Exception as error:  # noqa: BLE001 - any is a broken promise
        ground.restart_engine()
        return {"outcome": f"{type(error).__name__}: {error}"}


def soak_kinds(engines: Engines, folder: Path, options: argparse.Namespace) -> Iterator[dict]:
    """Run the storms that are left, each with the kind of model that is drawn for it."""
    done = {line["number"] for line in lines(options.seed, options.json)}
    left = sorted(set(range(options.faults)) - done)
    for part, numbers in groupby(left, lambda number: number // _FAULTS_OF_A_KIND):
        chance = random.Random(f"{options.seed}/kind/{part}")
        kind = _MODELS[options.kind or chance.choice(sorted(_MODELS))]
        place = Path(tempfile.mkdtemp(dir=folder))
        with closing(Ground(engines, TinyModel.write(kind, place))) as ground:
            yield from soak(ground, numbers, options.seed, options.json, kind.name)


def summary(seed: int, path: Path) -> dict[str, object]:
    """Of all lines of ``seed``."""
    found = lines(seed, path)
    return {
        "summary": seed,
        "faults": len(found),
        "kinds": len({line["fault"] for line in found}),
        "outcomes": Counter(line["outcome"] for line in found),
        "requests": sum(line["requests"] for line in found),
        "aborted": sum(line["aborted"] for line in found),
        "preemptions": sum(line.get("preemptions", 0) for line in found),
        "slowest_storm_s": max(line["took_s"] for line in found),
        "slowest_to_resume_s": max(line.get("resumed_s", 0.0) for line in found),
        "commit": commit(),
        "machine": machine(),
    }


def main() -> None:
    options = _options()
    logging.getLogger("kvtransfer").setLevel(logging.ERROR)
    deadline_s = time.monotonic() + options.seconds
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Engines(Path(folder))) as engines,
        closing(soak_kinds(engines, Path(folder), options)) as storms,
    ):
        for line in storms:
            if line["outcome"] != WELL or line["number"] % 20 == 0:
                told = f"{line['number']:5} {line['kind']}, {line['fault']}: {line['outcome']}"
                print(told, flush=True)
            if time.monotonic() > deadline_s:
                break
    found = summary(options.seed, options.json)
    append(options.json, found)
    print(json.dumps(found, indent=2))
    sys.exit(found["outcomes"].keys() != {WELL})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=sorted(_MODELS), help="of model; without it, drawn")
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin no more after these")
    parser.add_argument("--json", type=Path, help="where the lines go; without it, a new file")
    options = parser.parse_args()
    if options.json is None:
        options.json = Path(tempfile.mkdtemp(prefix="kvtransfer-soak-"), "engine-soak.jsonl")
        print(f"lines go to {options.json}")
    return options


if __name__ == "__main__":
    main()
