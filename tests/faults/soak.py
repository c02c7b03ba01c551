"""Storm after storm, each drawn from the seed and its number, so that a run can be resumed.

``python -m tests.faults.soak [--faults N] [--seed N] [--json FILE]``: a line a fault, appended to
the file; those that it has of the same seed are not run again. Ends with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import commit, machine
from tests.faults.arena import DEADLINE_S, Arena
from tests.faults.storm import Storm, rage

if TYPE_CHECKING:
    from collections.abc import Iterator

WELL = "well"
HANG_S = 120.0


def main() -> None:
    options = _options()
    logging.getLogger("kvtransfer").setLevel(logging.ERROR)  # that the store fails is no news
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    for line in soak(options.faults, options.seed, options.json):
        faulthandler.dump_traceback_later(HANG_S, exit=True)  # for each one anew
        if line["outcome"] != WELL or line["number"] % 20 == 0:
            print(f"{line['number']:5} {line['fault']}: {line['outcome']}", flush=True)
    found = summary(options.seed, options.json)
    append(options.json, found)
    print(json.dumps(found, indent=2))
    sys.exit(found["outcomes"].keys() != {WELL})


def soak(faults: int, seed: int, path: Path) -> Iterator[dict[str, object]]:
    """Run what ``path`` doesn't have of the first ``faults`` of ``seed``, and append it there."""
    done = {line["number"] for line in lines(seed, path)}
    arena = calm_arena()
    try:
        for number in sorted(set(range(faults)) - done):
            storm = Storm.drawn(random.Random(f"{seed}/{number}"))
            arena.slowest_s = 0.0
            line = {"seed": seed, "number": number, "fault": storm.fault.name}
            line["outcome"] = outcome(arena, storm)
            line["slowest_s"] = round(arena.slowest_s, 4)
            append(path, line)
            yield line
            if line["outcome"] != WELL:
                arena.close()
                arena = calm_arena()
    finally:
        arena.close()


def calm_arena() -> Arena:
    arena = Arena()
    arena.assert_well()
    return arena


def outcome(arena: Arena, storm: Storm) -> str:
    """``WELL``, or what was wrong."""
    try:
        rage(arena, storm)
    except Exception as error:  # noqa: BLE001 - any is a broken promise
        return f"{type(error).__name__}: {error}"
    return WELL


def summary(seed: int, path: Path) -> dict[str, object]:
    """Summarize all lines of ``seed``."""
    found = lines(seed, path)
    took_s = sorted(line["slowest_s"] for line in found)
    return {
        "summary": seed,
        "faults": len(found),
        "kinds": len({line["fault"] for line in found}),
        "outcomes": Counter(line["outcome"] for line in found),
        "deadline_s": DEADLINE_S,
        "slowest_s": took_s[-1],
        "within_50_ms_of_the_deadline": sum(s <= DEADLINE_S + 0.05 for s in took_s),
        "commit": commit(),
        "machine": machine(),
    }


def lines(seed: int, path: Path) -> list[dict[str, object]]:
    """What ``path`` has of ``seed``."""
    with suppress(FileNotFoundError):
        written = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [line for line in written if line.get("seed") == seed]
    return []


def append(path: Path, line: dict[str, object]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the lines go; without it, a new file")
    options = parser.parse_args()
    if options.json is None:
        options.json = Path(tempfile.mkdtemp(prefix="kvtransfer-soak-"), "soak.jsonl")
        print(f"lines go to {options.json}")
    return options


if __name__ == "__main__":
    main()
