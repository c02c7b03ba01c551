"""A fingerprint that tells one model's weights from another's, without reading all of them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SUFFIXES = {".safetensors", ".bin", ".pt", ".pth", ".gguf"}
# They say where a model came from, not what it computes.
_IRRELEVANT = {"_name_or_path", "transformers_version"}
_SAMPLES = 512
_SAMPLE_BYTES = 1024


def fingerprint(folder: Path) -> str:
    """32 hex digits that are equal on every machine for equal model folders.

    Covers ``config.json``, and of each file of weights, in subfolders too: its name, its size, its
    first MiB (a safetensors header with all names, dtypes and shapes lies there) and 512 samples
    of 1 KiB spread evenly to its end. So any retraining or requantisation shows; what can't show
    is a copy of equal layout that differs in a few places only, between the samples.

    Args:
        folder: with ``config.json``, an adapter's ``adapter_config.json``, or weights.

    Raises:
        ConfigError: there is nothing of that in it, or it can't be read.
    """
    digest = hashlib.sha256()
    try:
        parts = [*_configs(folder), *_weights(folder)]
    except OSError as error:
        raise ConfigError(f"can't read the model in {folder}: {error}") from None
    if not parts:
        raise ConfigError(
            f"{folder} holds neither config.json nor weights; name the folder of a model"
        )
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:32]


def _configs(folder: Path) -> Iterator[bytes]:
    for name in ("config.json", "adapter_config.json"):
        path = folder / name
        if path.is_file():
            try:
                content = json.loads(path.read_bytes())
            except ValueError as error:
                raise ConfigError(f"{path} is not JSON: {error}") from None
            kept = {k: v for k, v in content.items() if k not in _IRRELEVANT}
            yield name.encode() + json.dumps(kept, sort_keys=True).encode()


def _weights(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in _SUFFIXES and path.is_file():
            size = path.stat().st_size
            yield f"{path.relative_to(folder).as_posix()}:{size}".encode()
            yield _samples(path, size)


def _samples(path: Path, size: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(1 << 20))
        for i in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE_BYTES) * i // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.digest()
