"""Reads from a model of vLLM how it rotates its keys, or says why they can't be moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from kvtransfer.errors import ConfigError
from kvtransfer.kernels import Rotation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.chunks.layout import ChunkFormat

# Classes of vllm.model_executor.layers.rotary_embedding and what is made from them, by name: an older
# or newer vLLM may lack one.
_REFUSED = {
    "MRotaryEmbedding": "M-RoPE rotates by three positions of a token, and a passage knows one",
    "XDRotaryEmbedding": "XD-RoPE rotates by four positions of a token, and a passage knows one",
    "DualChunkRotaryEmbedding": "dual chunk attention rotates keys by their place in a chunk of the "
    "prompt",
    "FourierRotaryEmbedding": "FoPE mixes frequencies by weights, so its tables hold no rotations",
    "Llama4VisionRotaryEmbedding": "it rotates patches of an image, not tokens",
    "DeepseekV4ScalingRotaryEmbedding": "DeepSeek V4 rotates what its cache holds back",
}


def rotation_of(rotaries: Mapping[str, object], form: ChunkFormat) -> Rotation:
    """Return the rotation that all layers of a model share.

    Args:
        rotaries: the rotary embedding of each attention layer by the layer's name, as of ``get_rope``
            of vLLM; None for a layer that has none. The model has run once: it may change the dtype
            of a table when it first uses it.
        form: what a chunk of these layers is. In ``content``, of MLA, the last elements of a head
            are rotated.

    Returns:
        The rotation; its table is the model's own, and is only read.

    Raises:
        ConfigError: keys of this model can't be moved; the message names the layer and the reason.
    """
    if not rotaries:
        raise ConfigError("the model has no attention layers, so it has no keys to move")
    first, *others = (_of_layer(name, rotary, form) for name, rotary in rotaries.items())
    for name, other in zip(list(rotaries)[1:], others, strict=True):
        if not first.same_as(other):
            raise ConfigError(
                f"layer {name} rotates its keys otherwise than layer {next(iter(rotaries))}; blend "
                "moves keys only where all layers rotate alike"
            )
    return first


def _of_layer(layer: str, rotary: Any, form: ChunkFormat) -> Rotation:
    try:
        return _of(rotary, form)
    except ValueError as error:
        kind = type(rotary).__name__
        raise ConfigError(f"keys of layer {layer} ({kind}) can't be moved: {error}") from error


def _of(rotary: Any, form: ChunkFormat) -> Rotation:
    if rotary is None:
        raise ValueError("it has no rotary embedding")
    for base in type(rotary).__mro__:
        if base.__name__ in _REFUSED:
            raise ValueError(_REFUSED[base.__name__])
    table, rotary_dim = _table(rotary), rotary.rotary_dim
    if table.shape[-1] != rotary_dim:
        raise ValueError(f"its table is of {table.shape[-1]} elements, but it rotates {rotary_dim}")
    pairing: Literal["neox", "interleaved"] = "neox"
    if not getattr(rotary, "is_neox_style", True):
        pairing = "interleaved"
    return Rotation(table, pairing, _start(rotary, form))


def _table(rotary: Any) -> Tensor:
    """Return the table that the model multiplies by."""
    both = getattr(rotary, "long_short_cos_sin_cache", None)
    if isinstance(both, Tensor):
        # LongRoPE keeps two, one behind the other; max_model_len picks one for the whole engine.
        short = rotary.original_max_position_embeddings
        return both[short:] if rotary.use_long_rope else both[:short]
    table = getattr(rotary, "cos_sin_cache", None)
    if not isinstance(table, Tensor):
        raise ValueError("it has no table of cosines and sines")
    return table


def _start(rotary: Any, form: ChunkFormat) -> int:
    """Return the first element of a head of ``form`` that is rotated."""
    _, _, dim = form.plane_shape
    if form.layout == "content":
        return int(dim - rotary.head_size)
    if form.layout != "split" or rotary.head_size != dim:
        raise ValueError(
            f"it rotates heads of {rotary.head_size} elements, and a chunk in layout {form.layout} "
            f"has {dim}"
        )
    return 0
