"""Tells what the bytes of pages depend on besides the dtype and the shape of a chunk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import vllm

from kvtransfer.connector.vllm.pages.refusals import refuse_backend, refuse_dtype
from kvtransfer.connector.vllm.pages.verdicts import (
    BACKENDS,
    DTYPES,
    REFUSED_DTYPES,
    Packing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import torch
    from vllm.config import VllmConfig

# vLLM's function for this makes subclasses that build other metadata, and have the same pages.
_MADE_AT_RUN_TIME = ("vllm.v1.attention.backend", "abc")
_USUAL_FP8 = "torch.float8_e4m3fn"


def page_facts(vllm_config: VllmConfig, caches: Mapping[str, torch.Tensor]) -> list[str]:
    """Return what the keys of chunks must cover of the pages of ``caches``.

    Only a worker can tell: the layers are in its process. Engines whose pages explain themselves
    have no facts, so all of them share. Packed pages are shared between engines with the same
    version of vLLM, GPU, backend, and order and size of pages.

    Args:
        vllm_config: of the engine whose layers have been made.
        caches: the registered tensors, ``[blocks, heads, tokens, content]``, by the layer's name.

    Raises:
        ConfigError: vLLM has chosen an attention backend or a dtype that is refused.
    """
    layers = vllm_config.compilation_config.static_forward_context
    found = [
        fact
        for name, cache in caches.items()
        if name in layers
        for fact in _of_layer(layers[name], cache)
    ]
    skipped = getattr(vllm_config.cache_config, "kv_cache_dtype_skip_layers", ())
    return _distinct([*found, *(["not quantized", layer] for layer in skipped)])


def backend_name(backend: type) -> str:
    """Return the name that vLLM's registries give to ``backend``.

    Returns:
        ``CUSTOM`` for a class outside vLLM; empty for one of vLLM's own that has no name, as those
        that belong to one model.
    """
    from vllm.v1.attention.backends.registry import AttentionBackendEnum, MambaAttentionBackendEnum

    if backend.__module__ in _MADE_AT_RUN_TIME:
        return backend_name(backend.__mro__[1])
    path = f"{backend.__module__}.{backend.__qualname__}"
    if not path.startswith("vllm."):
        return "CUSTOM"
    members = (*AttentionBackendEnum, *MambaAttentionBackendEnum)
    return next((str(member.name) for member in members if member.value == path), "")


def _of_layer(layer: Any, cache: torch.Tensor) -> Iterator[list[object]]:
    backend, dtype = layer.get_attn_backend(), getattr(layer, "kv_cache_dtype", "auto")
    name = backend_name(backend)
    refuse_backend(name)
    if dtype in DTYPES or dtype in REFUSED_DTYPES:  # a model may have names of its own
        refuse_dtype(dtype)
    packings = {BACKENDS.get(name, Packing.PACKED), DTYPES.get(dtype, Packing.PACKED)}
    if Packing.PACKED in packings:
        yield ["packed", f"{backend.__module__}.{backend.__qualname__}", dtype, *_order(cache)]
        yield ["packed by", vllm.__version__, *_device()]
    elif Packing.STATES in packings:
        shapes = [list(shape) for shape in layer.get_state_shape()]
        yield ["states", shapes, [str(kind) for kind in layer.get_state_dtype()]]
    if dtype.startswith("fp8") and _fp8() != _USUAL_FP8:
        yield ["fp8", _fp8()]


def _order(cache: torch.Tensor) -> list[object]:
    """Describe a page by its shape and the order of its dimensions in memory."""
    strides = cache.stride()
    inner = [dim for dim in range(1, cache.dim()) if cache.shape[dim] > 1]
    return [list(cache.shape[1:]), sorted(inner, key=lambda dim: -strides[dim])]


def _device() -> list[object]:
    from vllm.platforms import current_platform

    capability = current_platform.get_device_capability()
    return [current_platform.device_type, capability and capability.as_version_str()]


def _fp8() -> str:
    from vllm.platforms import current_platform

    return str(current_platform.fp8_dtype())


def _distinct(facts: Iterable[list[object]]) -> list[str]:
    return sorted({json.dumps(fact) for fact in facts})
