"""Hostile files in a disk store's folder, case after case, each drawn from the seed and its number.

``python -m tests.faults.fuzz_files [--cases N] [--seed N]``: meanwhile another user puts into the
same folder and gets from it. Ends with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kvtransfer.chunks.keys import base_key
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.disk.names import new_temporary, path_of
from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.testing import CHUNK, PAYLOAD, get
from tests.faults.hostile_files import KINDS, remove
from tests.stores.disk.another_user import IS_ANOTHER, NOBODY, ROOT, become_nobody

HANG_S = 300.0
FOREIGN = b"somebody's"
OURS = base_key("org/steady", 1, 0, "5" * 32)


class Wrong(AssertionError):
    """A promise was broken."""


@dataclass(frozen=True)
class Case:
    """Something hostile, and where it lies: in place of a chunk or of a folder on the way to it."""

    key: str
    place: Path
    foreign: Path

    @classmethod
    def drawn(cls, root: Path, chance: random.Random) -> Case:
        key = base_key(f"org/{chance.randrange(3)}", 1, 0, f"{chance.randrange(64):032x}")
        chunk = root / path_of(key)
        place = chance.choice((chunk, chunk, chunk, chunk.parent, chunk.parent.parent))
        names = ("x.kv", "A" * 32 + ".kv", chunk.name + ".bak", "0" * 31 + ".kv", "h@1@0011223344")
        return cls(key, place, chunk.with_name(chance.choice(names)))

    def plant(self, chance: random.Random, good: bytes) -> bool:
        """Whether the foreign file lies there beside it."""
        remove(self.place)
        self.place.parent.mkdir(parents=True, exist_ok=True)
        chance.choice(KINDS)(self.place, chance, good)
        if self.place != self.foreign.parent / self.place.name:
            return False
        self.foreign.write_bytes(FOREIGN)
        os.utime(self.foreign, (1, 1))
        if chance.random() < 0.2:
            abandoned = self.place.with_name(new_temporary(self.place.name))
            chance.choice(KINDS)(abandoned, chance, good)
        return True


class Field:
    """A store over ``root``, and what holds whatever lies there."""

    def __init__(self, root: Path, prefix: str) -> None:
        self.root = root
        self.store = open_store(f"{prefix}{root}", CHUNK, StoreSettings(timeout_s=HANG_S))
        self._must(self.store.put(OURS, memoryview(PAYLOAD)), "a first chunk was not taken")
        self._good = (root / path_of(OURS)).read_bytes()

    def face(self, chance: random.Random) -> None:
        """One case; afterwards nothing of it is left."""
        case = Case.drawn(self.root, chance)
        has_foreign = case.plant(chance, self._good)
        for _ in range(chance.randrange(1, 5)):
            self._use(case.key, chance)
        if has_foreign:
            is_there = case.foreign.exists() and case.foreign.read_bytes() == FOREIGN
            self._must(is_there, "a foreign file was touched")
            remove(case.foreign)
        self._serves_others()
        remove(case.place)
        self._must(self.store.put(case.key, memoryview(PAYLOAD)), "it isn't taken afterwards")
        self._must(get(self.store, case.key) == PAYLOAD, "it isn't had afterwards")

    def _use(self, key: str, chance: random.Random) -> None:
        call = chance.choice(("get", "put", "lookup", "list", "evict"))
        if call == "get":
            self._must(get(self.store, key) in (None, PAYLOAD), "a get brought other bytes")
        elif call == "put":
            self.store.put(key, memoryview(PAYLOAD))
        elif call == "lookup":
            self.store.contains([OURS, key])
        elif call == "list":
            self.store.store.eviction.rescan()
        elif chance.random() < 0.1:
            self.store.store.eviction.evict(2 * len(self._good))

    def _serves_others(self) -> None:
        self._must(self.store.put(OURS, memoryview(PAYLOAD)), "another chunk is not taken")
        self._must(self.store.contains([OURS]) == [True], "another chunk is not found")
        self._must(get(self.store, OURS) == PAYLOAD, "another chunk is not had")

    def _must(self, is_so: bool, otherwise: str) -> None:
        if not is_so:
            raise Wrong(otherwise)


def fuzz(root: Path, cases: int, seed: int, prefix: str = "disk://") -> None:
    """Run the first ``cases`` of ``seed`` in ``root``, the folder of the store at ``prefix``.

    Raises:
        Wrong: with the number of the case that broke a promise.
    """
    field = Field(root, prefix)
    with closing(field.store):
        for number in range(cases):
            if number % 100 == 0:
                faulthandler.dump_traceback_later(HANG_S, exit=True)
            try:
                field.face(random.Random(f"{seed}/{number}"))
            except Exception as error:
                raise Wrong(f"case {number} of seed {seed}: {error!r}") from error
    faulthandler.cancel_dump_traceback_later()


def share(root: Path, until: int) -> None:
    """As another user, until the process ``until`` is gone: put a chunk, have it, again."""
    with closing(
        FormattedStore(DiskStore(str(root), StoreSettings(timeout_s=HANG_S)), CHUNK)
    ) as store:
        become_nobody()
        while os.getppid() == until:
            key = base_key("org/another-user", 1, 0, f"{random.randrange(100):032x}")
            if not store.put(key, memoryview(PAYLOAD)):
                sys.exit("another user's chunk is not taken")
            if get(store, key) not in (PAYLOAD, None):
                sys.exit("another user had other bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", nargs=2)
    options = parser.parse_args()
    if options.share:
        share(Path(options.share[0]), int(options.share[1]))
        return
    with tempfile.TemporaryDirectory(prefix="kvtransfer-fuzz-") as folder:
        run(Path(folder), options.cases, options.seed)
    print(
        f"{options.cases} cases of hostile files: well, with {'two' if IS_ANOTHER else 'one'} users"
    )


def run(parent: Path, cases: int, seed: int) -> None:
    """``fuzz`` in a folder that another user shares."""
    parent.chmod(0o755)
    root = parent / "chunks"
    root.mkdir()
    os.chown(root, -1, NOBODY if IS_ANOTHER else -1)
    root.chmod(0o2770)
    command = [sys.executable, "-m", "tests.faults.fuzz_files", "--share", root, str(os.getpid())]
    with subprocess.Popen(command, cwd=ROOT) as other:
        try:
            fuzz(root, cases, seed)
            if other.poll() is not None:
                raise Wrong(f"the other user ended with {other.returncode}")
        finally:
            other.terminate()


if __name__ == "__main__":
    main()
