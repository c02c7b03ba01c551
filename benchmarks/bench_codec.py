"""Measures what chunks of quantised numbers take, what they cost in quality, and how fast they are.

``python -m benchmarks.bench_codec [--json FILE] [--codecs NAME ...] [--contexts N ...] [--n N]``:
SmolLM2-135M, its KV cache in bf16, of excerpts of a real book. Cases are ``CODEC/WHAT``:

- ``ratio``: bytes of a chunk as it is, over those of its encoded form;
- ``kl/CONTEXT``: the model reads the next 128 tokens through the decoded cache of ``CONTEXT`` tokens,
  and each time guesses the next one: mean KL divergence from its guesses through the cache as it
  was, in nats a token, over ``n`` excerpts. ``_se`` is its standard error, ``top1`` the share of
  tokens with the same best guess, ``first_tokens_kl`` that of the excerpt from the book's begin;
- ``encode``, ``decode``: GB of bf16 a second, from blocks in host memory and back.

Baselines: ``fp8-cast`` rounds each number to e4m3; ``lmcache-cachegen`` is emulated, see
``benchmarks/rival_codecs.py``; ``copy`` only copies.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer

from benchmarks.kv_of_model import KvOfModel
from benchmarks.measure import Row, append_rows, interleaved, print_table, quantiles, rate_row
from benchmarks.rival_codecs import fp8_cast, lmcache_cachegen
from demo.smollm2 import model_folder
from demo.texts import real_text
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.quantisation import CODECS, levels
from kvtransfer.chunks.quantised import layout_of, quantised
from kvtransfer.kernels import open_copy, open_quantised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from benchmarks.kv_of_model import Prediction
    from benchmarks.rival_codecs import Encoded

BENCH = "codec"
_SUMMARY = (__doc__ or "").split("\n\n")[0]
CHUNK_TOKENS, BLOCK_TOKENS = 256, 16
CONTINUATION_TOKENS = 128
DTYPE = torch.bfloat16
RIVALS: dict[str, tuple[str, Callable[[Sequence[Tensor]], Encoded]]] = {
    "int8": ("fp8-cast", fp8_cast),
    "int5": ("fp8-cast", fp8_cast),
    "int4": ("lmcache-cachegen", lmcache_cachegen),
    "cachegen": ("lmcache-cachegen", lmcache_cachegen),
}


def main() -> None:
    options = _options()
    excerpts = _excerpts(max(options.contexts) + CONTINUATION_TOKENS, options.n)
    model = KvOfModel(model_folder())
    rows = [
        *_quality_rows(model, excerpts, options.contexts, options.codecs),
        *_speed_rows(
            model.planes(excerpts[0][:CHUNK_TOKENS], DTYPE), options.codecs, options.rounds
        ),
    ]
    rows.sort(key=lambda row: row.case)
    print_table(rows, baseline="kvtransfer")
    if options.json:
        append_rows(options.json, rows)


def coded(planes: Sequence[Tensor], codec: str) -> tuple[list[Tensor], float]:
    """Encode and decode ``planes``, ``[tokens, heads, dim]`` each, by the kernels of a connector.

    Returns:
        What they are afterwards, and how many times fewer bytes they took.
    """
    decoded = [torch.empty_like(plane) for plane in planes]
    plain_bytes = sum(plane.nbytes for plane in planes)
    encoded_bytes = sum(_code_layers(*part) for part in _parts(planes, decoded, codec))
    return decoded, plain_bytes / encoded_bytes


def _parts(
    planes: Sequence[Tensor], decoded: Sequence[Tensor], codec: str
) -> Iterator[tuple[list[Tensor], list[Tensor], ChunkFormat]]:
    """The planes of each level of ``codec`` as blocks, where they go, and the form of their chunks."""
    _, heads, dim = planes[0].shape
    begin = 0
    for quantisation, layers in levels(codec, len(planes) // 2):
        end = begin + 2 * layers
        form = ChunkFormat.split("bfloat16", layers, CHUNK_TOKENS, heads, dim)
        sides = ([_blocks(plane) for plane in each[begin:end]] for each in (planes, decoded))
        yield *sides, quantised(form, quantisation)
        begin = end


def _blocks(plane: Tensor) -> Tensor:
    return plane.view(-1, BLOCK_TOKENS, *plane.shape[1:])


def _code_layers(planes: list[Tensor], decoded: list[Tensor], form: ChunkFormat) -> int:
    """Encode and decode whole chunks; returns how many bytes the encoded ones have."""
    layout, blocks = layout_of(form), CHUNK_TOKENS // BLOCK_TOKENS
    here, there = open_quantised(planes, layout), open_quantised(decoded, layout)
    encoded = torch.empty(form.nbytes, dtype=torch.uint8)
    chunks = len(planes[0]) // blocks
    for chunk in range(chunks):
        ids = list(range(chunk * blocks, (chunk + 1) * blocks))
        here.gather_blocks(ids, encoded)
        there.scatter_blocks(encoded, ids)
    return chunks * form.nbytes


def _quality_rows(
    model: KvOfModel,
    excerpts: Sequence[Sequence[int]],
    contexts: Sequence[int],
    codecs: Sequence[str],
) -> Iterator[Row]:
    for context in contexts:
        told: dict[tuple[str, str], list[tuple[float, float]]] = {}
        ratios: dict[tuple[str, str], float] = {}
        for excerpt in excerpts:
            planes = model.planes(excerpt[:context], DTYPE)
            rest = excerpt[context : context + CONTINUATION_TOKENS]

            def guesses(through: Sequence[Tensor]) -> Prediction:
                return model.continuation(through, excerpt[context - 1], rest)  # noqa: B023

            reference = guesses(planes)
            for codec in codecs:
                for impl, (decoded, ratio) in _impls(planes, codec):
                    guess = guesses(decoded)
                    both = guess.kl_from(reference), guess.agreement_with(reference)
                    told.setdefault((codec, impl), []).append(both)
                    ratios[codec, impl] = ratio
        for (codec, impl), results in told.items():
            yield _quality_row(f"{codec}/kl/{context}", impl, results)
            if context == contexts[0]:
                ratio = ratios[codec, impl]
                yield Row(BENCH, f"{codec}/ratio", impl, ratio, "x", (ratio, ratio), 1)


def _impls(
    planes: Sequence[Tensor], codec: str
) -> Iterator[tuple[str, tuple[list[Tensor], float]]]:
    yield "kvtransfer", coded(planes, codec)
    name, rival = RIVALS[codec]
    found = rival(planes)
    yield name, (found.planes, 8 * DTYPE.itemsize / found.bits)


def _quality_row(case: str, impl: str, results: Sequence[tuple[float, float]]) -> Row:
    kls, top1 = [kl for kl, _ in results], mean(share for _, share in results)
    error = stdev(kls) / len(kls) ** 0.5 if len(kls) > 1 else 0.0
    more = {"kl_se": error, "top1": top1, "first_tokens_kl": kls[0]}
    return Row(BENCH, case, impl, mean(kls), "nats", quantiles(kls), len(kls), more=more)


def _speed_rows(planes: Sequence[Tensor], codecs: Sequence[str], rounds: int) -> Iterator[Row]:
    nbytes = sum(plane.nbytes for plane in planes)
    ids = list(range(CHUNK_TOKENS // BLOCK_TOKENS))
    works: dict[str, Callable[[], object]] = {}
    whole, plain = [_blocks(plane) for plane in planes], torch.stack(list(planes))
    copy = open_copy(whole)
    for codec in codecs:
        pairs = [
            (open_quantised(blocks, layout_of(form)), torch.empty(form.nbytes, dtype=torch.uint8))
            for blocks, _, form in _parts(planes, planes, codec)
        ]

        def encode(pairs: list[tuple] = pairs) -> None:
            for coder, encoded in pairs:
                coder.gather_blocks(ids, encoded)

        def decode(pairs: list[tuple] = pairs) -> None:
            for coder, encoded in pairs:
                coder.scatter_blocks(encoded, ids)

        works[f"{codec}/encode kvtransfer"] = encode
        works[f"{codec}/encode copy"] = lambda: copy.gather_blocks(ids, plain)
        works[f"{codec}/decode kvtransfer"] = decode
        works[f"{codec}/decode copy"] = lambda: copy.scatter_blocks(plain, ids)
    for name, samples in interleaved(works, rounds).items():
        case, impl = name.split()
        yield rate_row(BENCH, case, impl, samples, nbytes)


def _excerpts(tokens: int, count: int) -> list[list[int]]:
    """The begin of a book, and ``count - 1`` excerpts that are evenly far apart in it."""
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    ids = tokenizer.encode(real_text().body).ids
    step = (len(ids) - tokens) // count
    return [ids[i * step : i * step + tokens] for i in range(count)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_codec.py", description=_SUMMARY)
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--codecs", nargs="+", choices=[*CODECS], default=[*CODECS])
    parser.add_argument("--contexts", nargs="+", type=int, default=[1024, 2048])
    parser.add_argument("--n", type=int, default=4, help="excerpts")
    parser.add_argument("--rounds", type=int, default=9, help="of each encoding and decoding")
    return parser.parse_args()


if __name__ == "__main__":
    main()
