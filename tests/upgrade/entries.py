"""Writes and reads entries through the public library, to be compared between releases.

``python -m tests.upgrade.entries RELEASE CASE ...`` writes those of the code that it runs with into
``tests/upgrade/RELEASE.json``; CONTRIBUTING.md says when. It uses no more than the library of each
release has.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
import zlib
from pathlib import Path

import torch

from kvtransfer import KVTransfer, PagedCaches, TransferConfig

FOLDER = Path(__file__).parent
TOKENS = list(range(7, 135))
BLOCK_TOKENS, BLOCKS, HEADS, DIM = 16, 8, 1, 64
SECRET = "0123456789abcdef" * 4
CASES = {
    "plain": {},
    "integrity": {"integrity_key_file": "key"},
    "encryption": {"encryption_key_file": "key"},
    "lossless": {"remote_serde": "lossless"},
    "int8": {"remote_serde": "int8"},
}
"""What the settings of each case add."""


def added(folder: Path, case: str) -> dict[str, str]:
    """The settings of the case, with a key file in ``folder``."""
    (folder / "key").write_text(SECRET)
    (folder / "key").chmod(0o600)
    return {
        name: str(folder / value) if value == "key" else value
        for name, value in CASES[case].items()
    }


def opened(folder: Path, case: str, layers: list[torch.Tensor]) -> KVTransfer:
    """An engine of the case on the store in ``folder``."""
    settings = {"chunk_size": 64, "max_local_cpu_size": 0.01, **added(folder, case)}
    config = TransferConfig.of(remote_url=f"disk://{folder}/store?max_gib=1", **settings)
    caches = PagedCaches.split(layers, chunk_tokens=64)
    facts = {"weights": "of the test"}
    return KVTransfer.open(config, caches, model_name="org/model", facts=facts)


def computed() -> list[torch.Tensor]:
    """Caches that hold the same numbers in every release: small, and exact in every dtype."""
    numbers = torch.arange(BLOCKS * HEADS * BLOCK_TOKENS * 2 * DIM) % 97
    return [numbers.float().reshape(BLOCKS, HEADS, BLOCK_TOKENS, 2 * DIM).bfloat16()]


def saved(case: str) -> dict[str, str]:
    """The store's files after all tokens have been saved, packed, by path."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with opened(folder, case, computed()) as engine:
            engine.save(TOKENS, list(range(BLOCKS))).wait()
        files = [path for path in (folder / "store").rglob("*") if path.is_file()]
        return {
            str(path.relative_to(folder / "store")): base64.b85encode(
                zlib.compress(path.read_bytes(), 9)
            ).decode()
            for path in sorted(files)
        }


def restored(case: str, files: dict[str, str], folder: Path) -> list[torch.Tensor]:
    """Caches that ``files`` were loaded into; what isn't loaded is zero."""
    for name, packed in files.items():
        path = folder / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zlib.decompress(base64.b85decode(packed)))
    layers = [torch.zeros_like(layer) for layer in computed()]
    with opened(folder, case, layers) as engine:
        engine.load(TOKENS, list(range(BLOCKS))).wait()
    return layers


if __name__ == "__main__":
    release, *cases = sys.argv[1:]
    found = {case: saved(case) for case in cases}
    (FOLDER / f"{release}.json").write_text(json.dumps(found, indent=1) + "\n")
