"""Hashes the tensors, numbers and texts in an object of vLLM, such as a LoRA adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import blake3
import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping


def content_digest(value: object, ignored: frozenset[str] = frozenset()) -> str:
    """Return 32 hex digits that are equal on every machine for objects with equal values.

    Args:
        value: an object or a dictionary. Its values may be tensors in host memory, arrays, numbers,
            texts, bytes, lists and dictionaries of them, and objects, whose attributes are hashed.
        ignored: the attributes of ``value`` itself that are left out.

    Raises:
        TypeError: a value is of another type, or a tensor is on a device.
    """
    digest = blake3.blake3()
    fields = value if isinstance(value, dict) else vars(value)
    _add_fields(digest, {k: v for k, v in fields.items() if k not in ignored})
    return digest.hexdigest()[:32]


def _add_fields(digest: blake3.blake3, fields: Mapping[Any, Any]) -> None:
    _add_bytes(digest, "fields", str(len(fields)).encode())
    for name in sorted(fields, key=str):
        _add(digest, name)
        _add(digest, fields[name])


def _add(digest: blake3.blake3, value: object) -> None:
    if isinstance(value, torch.Tensor):
        _add_bytes(digest, f"{value.dtype} {list(value.shape)}", _raw(value))
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        _add_bytes(digest, f"{value.dtype} {list(value.shape)}", value.tobytes())
    elif isinstance(value, bytes):
        _add_bytes(digest, "bytes", value)
    elif value is None or isinstance(value, str | int | float | np.generic):
        _add_bytes(digest, type(value).__name__, repr(value).encode())
    elif isinstance(value, list | tuple):
        _add_bytes(digest, "list", str(len(value)).encode())
        for item in value:
            _add(digest, item)
    elif isinstance(value, dict):
        _add_fields(digest, value)
    elif hasattr(value, "__dict__") and not callable(value):
        _add(digest, type(value).__name__)
        _add_fields(digest, vars(value))
    else:
        raise TypeError(f"the bytes of a {type(value).__name__} can't be told")


def _add_bytes(digest: blake3.blake3, kind: str, content: bytes | memoryview) -> None:
    size = len(content).to_bytes(8, "little")
    digest.update(f"{kind}\n".encode() + size)
    digest.update(content)


def _raw(tensor: torch.Tensor) -> memoryview:
    if tensor.device.type != "cpu":
        raise TypeError(f"the bytes of a tensor on {tensor.device} can't be told without waiting")
    plain = tensor.detach().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().data
