"""Measures what ``remote_serde: lossless`` makes of real KV, beside the bytes as they are and plain Zstandard.

``python -m benchmarks.bench_lossless [--json FILE] [--rounds N] [--tokens N] [--dtypes NAME ...]``:
SmolLM2-135M in fp32 over a book, its cache in chunks of 256 tokens, rounded to ``bfloat16`` (cases
``lossless/ratio``, ``lossless/encode`` and ``lossless/decode``) and in other dtypes
(``lossless/ratio/float32``). ``naive`` copies a chunk; ``zstd-raw`` is level 1 over the chunk's bytes,
in order. Rates are of chunks' bytes, whatever is left of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tokenizers import Tokenizer

from benchmarks.kv_of_model import KvOfModel
from benchmarks.measure import append_rows, interleaved, print_table, rate_row, ratio_row
from demo.smollm2 import model_folder
from demo.texts import real_text
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.stores.lossless.codec import Lossless

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Row

BENCH = "lossless"
MAIN = "bfloat16"
LEVEL = 1
CHUNK_TOKENS = 256


class NotExactError(Exception):
    """A chunk came back otherwise than it went; the message says by which way."""


class Naive:
    """Chunks as they are: what a copy of them takes."""

    def __init__(self, form: ChunkFormat) -> None:
        self._copy = np.zeros(form.nbytes, np.uint8)

    def encode(self, chunk: memoryview) -> bytes:
        return bytes(self._copied(chunk))

    def touch(self, chunk: memoryview) -> None:
        self._copied(chunk)

    def decode(self, stored: bytes, slot: memoryview) -> None:
        np.copyto(np.frombuffer(slot, np.uint8), np.frombuffer(stored, np.uint8))

    def _copied(self, chunk: memoryview) -> memoryview:
        np.copyto(self._copy, np.frombuffer(chunk, np.uint8))
        return self._copy.data


class Ours:
    """The codec, as a store's put and fetch use it."""

    def __init__(self, form: ChunkFormat) -> None:
        self._codec = Lossless()
        self._form = form

    def encode(self, chunk: memoryview) -> bytes:
        with self._codec.encoded(chunk, self._form) as stored:
            return bytes(chunk if stored is None else stored)

    def touch(self, chunk: memoryview) -> None:
        with self._codec.encoded(chunk, self._form):
            pass

    def decode(self, stored: bytes, slot: memoryview) -> None:
        np.copyto(np.frombuffer(slot, np.uint8)[: len(stored)], np.frombuffer(stored, np.uint8))
        if len(stored) < len(slot) and not self._codec.decode(slot, len(stored), self._form):
            raise NotExactError("kvtransfer refuses what it has made")


class ZstdRaw:
    """Level 1 over all bytes."""

    def __init__(self, form: ChunkFormat) -> None:
        del form

    def encode(self, chunk: memoryview) -> bytes:
        return zstd.compress(chunk, LEVEL)

    touch = encode

    def decode(self, stored: bytes, slot: memoryview) -> None:
        np.copyto(np.frombuffer(slot, np.uint8), np.frombuffer(zstd.decompress(stored), np.uint8))


IMPLS = {"kvtransfer": Ours, "zstd-raw": ZstdRaw, "naive": Naive}


def text_ids(tokens: int) -> list[int]:
    """The first ``tokens`` of a book."""
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    body = real_text().body[: 12 * tokens]
    return tokenizer.encode(body, add_special_tokens=False).ids[:tokens]


def chunks_of(planes: Sequence[torch.Tensor]) -> tuple[ChunkFormat, list[memoryview]]:
    """The whole chunks of ``planes``, ``[tokens, heads, dim]`` each, keys before values by layer."""
    _, heads, dim = planes[0].shape
    dtype = str(planes[0].dtype).removeprefix("torch.")
    form = ChunkFormat.split(dtype, len(planes) // 2, CHUNK_TOKENS, heads, dim)
    chunks = torch.stack(list(planes)).split(CHUNK_TOKENS, dim=1)
    return form, [_bytes(chunk) for chunk in chunks if chunk.shape[1] == CHUNK_TOKENS]


def _bytes(chunk: torch.Tensor) -> memoryview:
    return np.array(chunk.contiguous().flatten().view(torch.uint8).numpy()).data


def measure(form: ChunkFormat, chunks: Sequence[memoryview], rounds: int) -> list[Row]:
    """Sizes, then both directions in turns, over all chunks a round.

    Raises:
        NotExactError: a chunk didn't come back bit for bit.
    """
    impls = {name: make(form) for name, make in IMPLS.items()}
    stored = {name: [impl.encode(chunk) for chunk in chunks] for name, impl in impls.items()}
    slot = memoryview(bytearray(form.nbytes))
    for name, impl in impls.items():
        for chunk, made in zip(chunks, stored[name], strict=True):
            impl.decode(made, slot)
            if slot != chunk:
                raise NotExactError(f"{name} brought other bytes back")
    encodes = {name: lambda impl=impl: _each(impl.touch, chunks) for name, impl in impls.items()}
    decodes = {
        name: lambda impl=impl, name=name: _each(impl.decode, stored[name], slot)
        for name, impl in impls.items()
    }
    suffix = "" if form.dtype == MAIN else f"/{form.dtype}"
    ratios = {name: [form.nbytes / len(one) for one in made] for name, made in stored.items()}
    moved = form.nbytes * len(chunks)
    return [
        *(ratio_row(BENCH, f"lossless/ratio{suffix}", *one) for one in ratios.items()),
        *_rates(f"lossless/encode{suffix}", encodes, rounds, moved),
        *_rates(f"lossless/decode{suffix}", decodes, rounds, moved),
    ]


def _rates(case, works, rounds, moved):
    samples = interleaved(works, rounds)
    return [rate_row(BENCH, case, impl, each, moved) for impl, each in samples.items()]


def _each(work, items, *rest):
    for item in items:
        work(item, *rest)


def main() -> None:
    options = _options()
    rows: list[Row] = []
    try:
        model, ids = KvOfModel(model_folder()), text_ids(options.tokens)
        for dtype in options.dtypes:
            planes = model.planes(ids, getattr(torch, dtype))
            rows += measure(*chunks_of(planes), options.rounds)
    except (FileNotFoundError, NotExactError) as error:
        sys.exit(f"bench_lossless: {error}")
    print_table(rows, baseline="zstd-raw")
    if options.json:
        append_rows(options.json, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--tokens", type=int, default=1024, help=f"of the text; a multiple of {CHUNK_TOKENS}"
    )
    parser.add_argument(
        "--dtypes", nargs="+", default=[MAIN, "float32", "float16"], help="of the cache"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
