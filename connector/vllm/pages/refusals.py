"""Refuses cache dtypes and attention backends whose pages can't be served, each by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.connector.vllm.pages.verdicts import (
    DTYPES,
    REFUSED_BACKENDS,
    REFUSED_DTYPES,
)
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from vllm.config import VllmConfig

_COMPRESSED = ("auto", "float16", "bfloat16")
_UNKNOWN = "what its pages hold, and what lies beside them, is unknown"


def refuse_pages(vllm_config: VllmConfig) -> None:
    """Refuse what the configuration names; vLLM chooses a backend itself if it names none.

    Raises:
        ConfigError: the message names the dtype or the backend, the reason and the option to set.
    """
    refuse_dtype(vllm_config.cache_config.cache_dtype)
    attention = vllm_config.attention_config
    named = [attention.backend, *getattr(attention, "backend_per_kind", {}).values()]
    for backend in named:
        if backend is not None:
            refuse_backend(backend.name)


def refuse_dtype(dtype: str) -> None:
    """Refuse a value of ``--kv-cache-dtype``.

    Raises:
        ConfigError: the message names it, the reason and the option to set.
    """
    reason = REFUSED_DTYPES.get(dtype) or ("" if dtype in DTYPES else _UNKNOWN)
    if dtype.startswith("fp8") and _is_on_cpu():
        reason = "vLLM itself transfers no fp8 cache on a CPU"
    if reason:
        raise ConfigError(
            f"kv_cache_dtype={dtype} is not supported: {reason}; set --kv-cache-dtype auto, or "
            "leave the connector out"
        )


def refuse_compression(serde: str, dtype: str) -> None:
    """Refuse a ``remote_serde`` that has no use for a value of ``--kv-cache-dtype``.

    Where it is ``auto``, the loaded model shows what it keeps.

    Raises:
        ConfigError: the message names both, and the setting to change.
    """
    if serde == "lossless" and dtype not in _COMPRESSED:
        raise ConfigError(
            f"remote_serde={serde} compresses float16, bfloat16 and float32, not "
            f"kv_cache_dtype={dtype}; set remote_serde to naive or auto"
        )


def refuse_backend(name: str) -> None:
    """Refuse the attention backend that vLLM's registry calls ``name``, if it is on our list.

    Raises:
        ConfigError: the message names it, the reason and the option to set.
    """
    reason = REFUSED_BACKENDS.get(name)
    if reason is not None:
        raise ConfigError(
            f"attention backend {name} is not supported: {reason}; set --attention-backend to "
            "another one, or leave the connector out"
        )


def _is_on_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())
