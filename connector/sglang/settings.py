"""Reads our settings from the JSON of SGLang's ``--hicache-storage-backend-extra-config``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.chunks.quantisation import CODECS
from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError
from kvtransfer.stores.check import check_stores

if TYPE_CHECKING:
    from collections.abc import Mapping

USED = frozenset(
    {
        "encryption_key_file", "integrity_key_file", "load_timeout_ms", "local_storage",
        "max_local_storage_size", "model_name", "namespace", "refresh_ttl", "remote_connections",
        "remote_password_file", "remote_serde", "remote_timeout_ms", "remote_url", "ttl_s",
        "weights_name",
    }
)  # fmt: skip
"""The settings that mean something where SGLang holds the host memory and decides what is loaded."""
_OF_SGLANG = ("backend_name", "module_path", "class_name", "interface_v1", "file_storage_path")


def read_settings(extra: Mapping[str, object]) -> TransferConfig:
    """Read the settings in ``extra``, and those of the environment as ``TransferConfig.load`` does.

    Raises:
        ConfigError: a setting is unknown, has no effect here or an invalid value; one that is
            needed is missing; or a store can't be opened.
    """
    if not extra.get("interface_v1"):
        raise ConfigError(
            f"interface_v1={extra.get('interface_v1')!r}: SGLang would copy each page once more; "
            'write "interface_v1": 1'
        )
    ours = {name: value for name, value in extra.items() if name not in _OF_SGLANG}
    for name in sorted(ours.keys() & TransferConfig.model_fields.keys() - USED):
        raise ConfigError(f"{name} has no effect in SGLang; remove it")
    config = TransferConfig.load(ours)
    _require(config)
    check_stores(config)
    return config


def _require(config: TransferConfig) -> None:
    if not config.has_stores:
        raise ConfigError("no store to keep SGLang's pages in; set remote_url or local_storage")
    if config.weights_name is None:
        raise ConfigError(
            "weights_name is missing: SGLang shows its storage no weights, so set it to a word for "
            "the weights that are loaded, and to another one when they change"
        )
    if config.remote_serde in CODECS:
        raise ConfigError(
            f"remote_serde={config.remote_serde} needs kernels between SGLang's device and host "
            "memory; write naive, lossless or auto"
        )
