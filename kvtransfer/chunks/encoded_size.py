"""Computes how many bytes a chunk has in each codec, without encoding any and without tensors. Pure."""

from __future__ import annotations

from math import ceil

from kvtransfer.chunks import quantisation
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.quantisation import GROUP_TOKENS, levels

CODECS = ("naive", "lossless", *quantisation.CODECS)
"""The codecs whose sizes are known: the bytes as they are first."""

IN_STORES = ("lossless",)
"""Codecs of which only disk and remote stores hold the chunks; host memory has their bytes as they are."""

LOSSLESS_RATIO = 1.456
"""How much bfloat16 shrinks, measured on one small model; other numbers count as if they didn't."""

_NUMBER_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
_SCALE_BYTES = 4
"""What a group of numbers shares: a minimum and a step, of 16 bits each."""

_MOST_GROUP_DIMS, _DIMS_UNIT = 64, 8


def encoded_bytes(codec: str, form: ChunkFormat, exact_dims: int = 0) -> int:
    """The bytes of a payload of the form ``form`` in ``codec``, one of ``CODECS``.

    States, caches of fewer than 16 bits a number, and content that isn't a latent stay as they are.

    Args:
        codec: its name.
        form: of the payload as it is, without sections.
        exact_dims: how many elements of a latent are never quantised: the rotated part of
            multi-head latent attention. 0: it is none.
    """
    if codec == "lossless" and form.dtype == "bfloat16":
        return ceil(form.nbytes / LOSSLESS_RATIO)
    found = levels(codec, form.shape[0])
    if not found or not _is_quantised(form, exact_dims):
        return form.nbytes
    return sum(
        layers * _layer_bytes(form, level.bits, level.exact_tokens, exact_dims)
        for level, layers in found
    )


def ratio(codec: str, dtype: str) -> float:
    """How many times smaller keys and values of ``dtype`` are in ``codec``.

    Of 32 layers, chunks of 256 tokens, and heads of a multiple of 64 elements.

    Raises:
        ConfigError: chunks can't have this dtype.
    """
    form = ChunkFormat.split(dtype, 32, 256, 1, 128)
    return form.nbytes / encoded_bytes(codec, form)


def _is_quantised(form: ChunkFormat, exact_dims: int) -> bool:
    """Whether codecs of fewer bits change payloads of this form."""
    has_groups = form.tokens % GROUP_TOKENS == 0 and form.plane_shape[2] % _DIMS_UNIT == 0
    is_known = form.layout == "split" or exact_dims > 0
    return is_known and has_groups and form.dtype in _NUMBER_BYTES


def _layer_bytes(form: ChunkFormat, bits: int, exact_tokens: int, exact_dims: int) -> int:
    tokens, heads, dim = form.plane_shape
    coded = dim - exact_dims
    numbers = tokens * heads * coded
    by_token = _SCALE_BYTES * tokens * heads * (coded // _group_dims(coded))
    exact = exact_tokens * heads * coded + tokens * heads * exact_dims
    plane = numbers * bits // 8 + exact * _NUMBER_BYTES[form.dtype]
    if form.layout != "split":
        return plane + by_token
    # Keys have a scale for each channel of 64 tokens.
    return 2 * plane + by_token + _SCALE_BYTES * numbers // GROUP_TOKENS


def _group_dims(coded: int) -> int:
    """How many elements of a token's head share scales: the most up to 64 that divide them."""
    return next(n for n in range(min(_MOST_GROUP_DIMS, coded), 0, -1) if coded % n == 0)
