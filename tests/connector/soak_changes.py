"""Two engines that share a store, while their weights, adapters and they themselves change.

``python -m tests.connector.soak_changes [--changes N] [--seed N] [--seconds N] [--json FILE]``: a
line a change, appended to the file; those that it has of the same seed are not run again. Ends with
1 if an answer was another one than vLLM's own, if anything hung, or if blocks were lost.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import commit, machine
from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.changing_engine import CHANGES, Answers, ChangingEngine
from tests.connector.engines import Engines
from tests.connector.inputs import prompt
from tests.connector.tiny_model import write_model
from tests.faults.soak import WELL, append, lines

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMPTS = [prompt(tokens, seed=seed) for seed in range(3) for tokens in (150, 300, 450)]
"""Three families, each of prompts that continue each other."""


class Wrong(Exception):
    """A promise was broken."""


class Pair:
    """Two engines in front of one store, and what each must answer; owns all of them."""

    def __init__(self, engines: Engines, folder: Path) -> None:
        self._server = EmbeddedServer(256 << 20)
        models = {
            name: str(write_model(folder / name, seed=seed)) for seed, name in enumerate("ab")
        }
        self._right = Answers(engines, models, folder / "right")
        self.engines = [
            ChangingEngine(engines, models, folder / name, self._server.url) for name in ("1", "2")
        ]

    def change(self, chance: random.Random, kind: str) -> dict[str, object]:
        """Let one of the two change while it answers, then ask both; what was seen.

        Raises:
            Wrong: an answer was another one than vLLM's own, or blocks were lost.
            EngineError: an engine ended, or hung.
        """
        changing = chance.choice(self.engines)
        changing.begin(_drawn(chance), steps=chance.randrange(8))
        CHANGES[kind](changing, chance)
        hits = 0
        for engine in (changing, *self.engines):
            hits += self.check(engine, _drawn(chance))
        return {"external_tokens": hits}

    def restart(self) -> None:
        """After something broke."""
        for engine in self.engines:
            engine.restart()

    def close(self) -> None:
        """End all of them."""
        for engine in self.engines:
            engine.kill()
        self._right.close()
        self._server.close()

    def check(self, engine: ChangingEngine, prompts: list[list[int]]) -> int:
        """Ask ``engine``; how many tokens the connector has brought.

        Raises:
            Wrong: an answer was another one than vLLM's own, or blocks were lost.
        """
        outcome = engine.answer(prompts)
        for prompt_ids, answer in zip(prompts, outcome.answers, strict=True):
            if answer != self._right.of(engine.identity, prompt_ids):
                raise Wrong(f"another answer than that of {engine.identity}")
        if not engine.reset():
            raise Wrong("blocks were lost")
        return outcome.external_tokens


def _drawn(chance: random.Random) -> list[list[int]]:
    return chance.sample(PROMPTS, k=chance.randint(1, 4))


def soak(pair: Pair, numbers: Iterator[int], seed: int, path: Path) -> Iterator[dict]:
    """Make changes and append a line of each to ``path``."""
    for number in numbers:
        chance = random.Random(f"{seed}/{number}")
        kind = chance.choice(list(CHANGES))
        began_s = time.monotonic()
        line = {"seed": seed, "number": number, "change": kind, **outcome(pair, chance, kind)}
        line["took_s"] = round(time.monotonic() - began_s, 3)
        append(path, line)
        yield line


def outcome(pair: Pair, chance: random.Random, kind: str) -> dict[str, object]:
    """What was seen, and ``WELL`` or what was wrong."""
    try:
        return {**pair.change(chance, kind), "outcome": WELL}
    except Exception as error:  # noqa: BLE001 - any is a broken promise
        pair.restart()
        return {"outcome": f"{type(error).__name__}: {error}"}


def summary(seed: int, path: Path) -> dict[str, object]:
    """Of all lines of ``seed``."""
    found = lines(seed, path)
    return {
        "summary": seed,
        "changes": len(found),
        "kinds": dict(sorted(Counter(line["change"] for line in found).items())),
        "outcomes": Counter(line["outcome"] for line in found),
        "external_tokens": sum(line.get("external_tokens", 0) for line in found),
        "slowest_s": max(line["took_s"] for line in found),
        "commit": commit(),
        "machine": machine(),
    }


def main() -> None:
    options = _options()
    done = {line["number"] for line in lines(options.seed, options.json)}
    left = iter(sorted(set(range(options.changes)) - done))
    deadline_s = time.monotonic() + options.seconds
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Engines(Path(folder))) as engines,
        closing(Pair(engines, Path(folder))) as pair,
    ):
        for line in soak(pair, left, options.seed, options.json):
            if line["outcome"] != WELL or line["number"] % 20 == 0:
                print(f"{line['number']:5} {line['change']}: {line['outcome']}", flush=True)
            if time.monotonic() > deadline_s:
                break
    found = summary(options.seed, options.json)
    append(options.json, found)
    print(json.dumps(found, indent=2))
    sys.exit(found["outcomes"].keys() != {WELL})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1800.0, help="begin no more after these")
    parser.add_argument("--json", type=Path, help="where the lines go; without it, a new file")
    options = parser.parse_args()
    if options.json is None:
        options.json = Path(tempfile.mkdtemp(prefix="kvtransfer-soak-"), "changes-soak.jsonl")
        print(f"lines go to {options.json}")
    return options


if __name__ == "__main__":
    main()
