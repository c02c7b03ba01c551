"""A fingerprint that tells one model's weights from another's, without reading all of them."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, BinaryIO

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SUFFIXES = {".safetensors", ".bin", ".pt", ".pth", ".gguf"}
# They say where a model came from, not what it computes.
_IRRELEVANT = {"_name_or_path", "transformers_version"}
_SAMPLES = 1024
_SAMPLE_BYTES = 1024
_HEAD_BYTES = 1 << 20
_MAX_HEADER_BYTES = 100_000_000  # of safetensors' own readers


def fingerprint(folder: Path) -> str:
    """32 hex digits that are equal on every machine for equal model folders.

    Covers ``config.json``, and of each file of weights, in subfolders too: its name, its size, its
    head (the header of a safetensors file, which names all tensors with dtypes and shapes; the
    first MiB of another) and samples of 1 KiB. The files share 1024 samples evenly, each spread
    from end to end of its file; up to as many again lie in the middle of a safetensors file's
    tensors, one in each unless it has more tensors than its share. So however large a model is,
    about 2000 small reads are made.

    It can't notice a change that keeps names, sizes and headers and lies between the samples: a
    few rows of an embedding, say, or a single tensor among those that got no sample.

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
            kept = {k: v for k, v in _settings(path).items() if k not in _IRRELEVANT}
            yield name.encode() + json.dumps(kept, sort_keys=True).encode()


def _settings(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a JSON object, {{...}}")
    return content


def _weights(folder: Path) -> Iterator[bytes]:
    files = [p for p in sorted(folder.rglob("*")) if p.suffix in _SUFFIXES and p.is_file()]
    for path in files:
        size = path.stat().st_size
        yield f"{path.relative_to(folder).as_posix()}:{size}".encode()
        yield _sampled(path, size, max(2, _SAMPLES // len(files)))


def _sampled(path: Path, size: int, samples: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        header = _safetensors_header(file, size)
        digest.update(header or file.read(_HEAD_BYTES))
        for start in sorted({*_spread(size, samples), *_in_tensors(header, samples)}):
            file.seek(start)
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.digest()


def _spread(size: int, samples: int) -> Iterator[int]:
    last = max(0, size - _SAMPLE_BYTES)
    return (last * i // (samples - 1) for i in range(samples))


def _safetensors_header(file: BinaryIO, size: int) -> bytes:
    """The length and the JSON at the start of ``file``; empty, and nothing read, without them."""
    length = file.read(8)
    header_bytes = int.from_bytes(length, "little")
    if 0 < header_bytes <= min(size - 8, _MAX_HEADER_BYTES):
        text = file.read(header_bytes)
        if text.startswith(b"{") and len(text) == header_bytes:
            return length + text
    file.seek(0)
    return b""


def _in_tensors(header: bytes, samples: int) -> list[int]:
    """Where to sample up to ``samples`` tensors, evenly chosen, each in its middle."""
    try:
        entries = json.loads(header[8:] or b"{}").values()
        spans = sorted(tuple(e["data_offsets"]) for e in entries if "data_offsets" in e)
        middles = [max(begin, (begin + end - _SAMPLE_BYTES) // 2) for begin, end in spans]
    except (ValueError, TypeError):  # a broken file: the engine says what is wrong with it
        return []
    return [len(header) + middle for middle in middles[:: math.ceil(len(spans) / samples) or 1]]
