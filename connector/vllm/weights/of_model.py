"""Computes a fingerprint of the weights that a model holds in memory."""

from __future__ import annotations

import hashlib
import json
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from kvtransfer.chunks.tensor_digest import digests
from kvtransfer.connector.vllm.weights.packed import packed_away

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import nn

# Their code is not hashed: engines with different versions of them may share a cache.
_KNOWN_PACKAGES = {"kvtransfer", "torch", "transformers", "vllm"}
_LORA_WRAPPER = "base_layer."


class UnknownWeightsError(Exception):
    """The model's weights can't be told from others; the text says why."""


def fingerprint(model: nn.Module, quantization: object = None, pages: Sequence[str] = ()) -> str:
    """Return 32 hex digits that are equal for equal weights with the same layout in memory.

    They cover every parameter and persistent buffer, and what loading has packed away, with names,
    dtypes, shapes and strides; the settings of ``quantization``; and the source of modules that
    came with the model. Two engines agree if they loaded the same weights for the same kernels;
    weights that are repacked for different GPUs (Marlin, FP8 layouts, shuffled experts) differ.
    The call reads every byte once.

    Args:
        model: a model that is fully loaded; it is only read.
        quantization: vLLM's quantization configuration, or None.
        pages: what :func:`~kvtransfer.connector.vllm.pages.page_facts.page_facts` tells, if any.

    Raises:
        UnknownWeightsError: a weight is not in memory, or was packed away unseen.
    """
    facts = {
        "tensors": _described(_tensors(model)),
        "packed": sorted(_packed(model)),
        **_beside_weights(model, quantization, pages),
    }
    return _digest(facts)


def named(
    name: str, model: nn.Module, quantization: object = None, pages: Sequence[str] = ()
) -> str:
    """Return what stands for the fingerprint of weights that the operator calls ``name``.

    It is the same on all ranks and for all kernels. The other arguments, and what is covered beside
    the weights, are those of ``fingerprint``.
    """
    return _digest({"named": name, **_beside_weights(model, quantization, pages)})


def _beside_weights(
    model: nn.Module, quantization: object, pages: Sequence[str]
) -> dict[str, object]:
    facts = {"quantization": _plain(quantization), "code": _code(model)}
    return {**facts, "pages": list(pages)} if pages else facts


def _digest(facts: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _described(named: Iterable[tuple[str, torch.Tensor]]) -> list[list[object]]:
    """Describe each tensor by name, form and digest; a tensor with several names is read once."""
    forms = {name: (str(t.dtype), tuple(t.shape), t.stride(), t.data_ptr(), t) for name, t in named}
    unique = {form[:4]: form[4] for form in forms.values()}
    found = dict(zip(unique, digests(unique.values()), strict=True))
    return [[name, *form[:3], found[form[:4]].hex()] for name, form in forms.items()]


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the model's tensors, sorted by name."""
    own: list[tuple[str, torch.Tensor]] = []
    for prefix, module in model.named_modules():
        kept = module._buffers.keys() - module._non_persistent_buffers_set
        buffers = [(name, module._buffers[name]) for name in kept]
        for name, tensor in [*module._parameters.items(), *buffers]:
            if tensor is not None:
                own += _inner(_full_name(prefix, name), tensor)
    for name, tensor in sorted(own, key=lambda pair: pair[0]):
        if tensor.is_meta:
            raise UnknownWeightsError(f"{name} is not loaded")
        if tensor.numel():
            yield name, tensor


def _inner(name: str, tensor: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the plain tensors in which a parameter keeps its bytes."""
    parts = getattr(tensor, "partitions", None)
    if isinstance(parts, dict):  # vLLM's SharedWeightParameter
        for key, part in parts.items():
            yield from _inner(f"{name}.{key}", part)
    elif is_traceable_wrapper_subclass(tensor):
        for attribute in tensor.__tensor_flatten__()[0]:
            yield from _inner(f"{name}.{attribute}", getattr(tensor, attribute))
    else:
        yield name, tensor.detach()


def _packed(model: nn.Module) -> Iterator[tuple[str, str]]:
    for prefix, module in model.named_modules():
        noted = packed_away(module) or {}
        for name, parameter in module._parameters.items():
            if parameter is not None and not parameter.numel() and name not in noted:
                raise UnknownWeightsError(f"{_full_name(prefix, name)} was packed away unseen")
        for name, digest in noted.items():
            if digest is not None:
                yield _full_name(prefix, name), digest.hex()


def _full_name(prefix: str, name: str) -> str:
    # LoRA wraps layers; the name must be the same with and without it.
    return f"{prefix}.{name}".replace(_LORA_WRAPPER, "")


def _plain(value: object, depth: int = 4) -> Any:
    """Return ``value`` as plain JSON without what differs between processes, such as addresses."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        named = sorted((str(key), inner) for key, inner in value.items())
        return {key: _plain(inner, depth) for key, inner in named}
    if isinstance(value, set | frozenset):
        return sorted(str(_plain(inner, depth)) for inner in value)
    if isinstance(value, list | tuple):
        return [_plain(inner, depth) for inner in value]
    if isinstance(value, torch.dtype | Enum | type):
        return str(value)
    settings = getattr(value, "__dict__", {}) if depth else {}
    return [type(value).__qualname__, _plain(settings, depth - 1)]


def _code(model: nn.Module) -> list[str]:
    """Hash the sources that came with the model (``trust_remote_code``) or from a plugin."""
    classes = {base for module in model.modules() for base in type(module).__mro__}
    modules = {cls.__module__ for cls in classes}
    packages = {name.rpartition(".")[0] or name for name in modules if _is_foreign(name)}
    return sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in _sources(packages))


def _is_foreign(module: str) -> bool:
    top = module.partition(".")[0]
    return top not in _KNOWN_PACKAGES and top not in sys.stdlib_module_names


def _sources(packages: Iterable[str]) -> set[Path]:
    beside = [
        module
        for name, module in list(sys.modules.items())
        if any(name == package or name.startswith(f"{package}.") for package in packages)
    ]
    files = {getattr(module, "__file__", None) for module in beside}
    return {path for file in files if file and (path := Path(file)).suffix == ".py"}
