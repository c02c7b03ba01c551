"""Gives chunks the form in which their numbers are quantised, where such a form is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kvtransfer.chunks.quantisation import GROUP_TOKENS, levels
from kvtransfer.errors import ConfigError
from kvtransfer.kernels import QuantisedLayout

if TYPE_CHECKING:
    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.chunks.quantisation import Quantisation

_DIMS = 8
"""With a multiple of it, nothing lies between the parts of an encoded chunk."""
_ELEMENT_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def reason_against(form: ChunkFormat) -> str:
    """Say why chunks of ``form`` keep their numbers as they are; empty if they can be quantised."""
    if form.dtype not in _ELEMENT_BYTES:
        return f"numbers of {form.dtype}"
    if form.tokens % GROUP_TOKENS:
        return f"pieces of {form.tokens} tokens, which is no multiple of {GROUP_TOKENS}"
    if form.plane_shape[2] % _DIMS:
        return f"heads of {form.plane_shape[2]} elements, which is no multiple of {_DIMS}"
    return ""


def quantised(form: ChunkFormat, quantisation: Quantisation) -> ChunkFormat:
    """Return the form of the same chunks with their numbers quantised.

    Raises:
        ConfigError: they can't be; the message says why.
    """
    found = replace(form, quantised=quantisation)
    try:
        return replace(found, nbytes=layout_of(found).nbytes)
    except ValueError as wrong:
        raise ConfigError(f"remote_serde={quantisation.codec}: {wrong}; set it to naive") from None


def layout_of(form: ChunkFormat) -> QuantisedLayout:
    """Return where the parts of a chunk of ``form``, whose numbers are quantised, lie in its bytes."""
    quantisation = form.quantised
    assert quantisation is not None
    tokens, heads, dim = form.plane_shape
    return QuantisedLayout(
        bits=quantisation.bits,
        planes=form.planes,
        planes_a_layer=2 if form.layout == "split" else 1,
        tokens=tokens,
        heads=heads,
        dim=dim,
        element_bytes=_ELEMENT_BYTES[form.dtype],
        exact_tokens=quantisation.exact_tokens,
        exact_dims=quantisation.exact_dims,
    )


def quantised_caches(caches: PagedCaches, codec: str) -> PagedCaches:
    """Return ``caches`` with the form that ``codec``, a setting's name, gives their chunks.

    Raises:
        ConfigError: it is one that quantises, and they can't be.
    """
    form = caches.chunk
    found = levels(codec, form.shape[0])
    if not found:
        return caches
    if len(found) > 1:
        raise ConfigError(
            f"remote_serde={codec} has different levels by layer, which vLLM's connector knows "
            "apart; use int8, int5 or int4 here"
        )
    if reason := _reason_against_all(form):
        raise ConfigError(f"remote_serde={codec} doesn't fit {reason}; set it to naive")
    return replace(caches, chunk=quantised(form, found[0][0]))


def _reason_against_all(form: ChunkFormat) -> str:
    content = "caches of content, whose numbers may mean anything"
    return content if form.layout != "split" else reason_against(form)
