"""Computes how many bytes a chunk has in each encoding of ``remote_serde``, without encoding any. Pure."""

from __future__ import annotations

from math import ceil, prod

from kvtransfer.chunks.layout import ChunkFormat

CODECS = ("naive", "lossless", "int8", "int5", "int4")
"""The encodings whose sizes are known: the bytes as they are first, then ever fewer."""

IN_STORES = ("lossless",)
"""Encodings that only disk and remote stores hold; host memory has the bytes as they are."""

GROUP_TOKENS = 64
"""Numbers of pieces whose tokens are no multiple of this stay as they are."""

LOSSLESS_RATIO = 1.39
"""How much bfloat16 shrinks, measured on one small model; other numbers count as if they didn't."""

_BITS = {"int8": 8, "int5": 5, "int4": 4}
_EXACT_TOKENS = {"int4": 1}
"""The first tokens of each chunk that are kept as they are, too."""

_NUMBER_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
_SCALE_BYTES = 4
"""What a group of numbers shares: a minimum and a step, of 16 bits each."""

_MOST_GROUP_DIMS = 64


def encoded_bytes(codec: str, form: ChunkFormat, exact_dims: int = 0) -> int:
    """The bytes of a payload of the form ``form`` in the encoding ``codec``.

    States, caches of fewer than 16 bits a number, and content that isn't a latent stay as they are.

    Args:
        codec: one of ``CODECS``.
        form: of the payload as it is, without sections.
        exact_dims: how many elements of a latent are never quantised: the rotated part of
            multi-head latent attention. 0: it is none.
    """
    if codec == "lossless" and form.dtype == "bfloat16":
        return ceil(form.nbytes / LOSSLESS_RATIO)
    is_known = form.layout == "split" or exact_dims > 0
    if codec not in _BITS or form.dtype not in _NUMBER_BYTES or form.tokens % GROUP_TOKENS:
        return form.nbytes
    return _quantised_bytes(codec, form, exact_dims) if is_known else form.nbytes


def ratio(codec: str, dtype: str) -> float:
    """How many times smaller keys and values of ``dtype`` are in the encoding ``codec``.

    Of chunks of 256 tokens, and heads of a multiple of 64 elements.

    Raises:
        ConfigError: chunks can't have this dtype.
    """
    form = ChunkFormat.split(dtype, 1, 256, 1, 128)
    return form.nbytes / encoded_bytes(codec, form)


def _quantised_bytes(codec: str, form: ChunkFormat, exact_dims: int) -> int:
    tokens, heads, dim = form.plane_shape
    coded, planes_a_layer = dim - exact_dims, form.planes // form.shape[0]
    numbers = prod((tokens, heads, coded))
    by_token = _SCALE_BYTES * tokens * heads * (coded // _group_dims(coded))
    by_channel = _SCALE_BYTES * numbers // GROUP_TOKENS
    # Keys have scales by channel, values and latents by token.
    scales = by_token if planes_a_layer == 1 else by_token + by_channel
    exact = _EXACT_TOKENS.get(codec, 0) * heads * coded + tokens * heads * exact_dims
    a_plane = numbers * _BITS[codec] // 8 + exact * _NUMBER_BYTES[form.dtype]
    return form.shape[0] * (planes_a_layer * a_plane + scales)


def _group_dims(coded: int) -> int:
    """How many elements of a token's head share scales: the most up to 64 that divide them."""
    return next(n for n in range(min(_MOST_GROUP_DIMS, coded), 0, -1) if coded % n == 0)
