"""Reads the settings of the tier: those of our connector that mean something behind vLLM's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError
from kvtransfer.stores.check import check_stores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

USED = frozenset(
    {
        "encryption_key_file",
        "integrity_key_file",
        "load_timeout_ms",
        "local_storage",
        "lookup_timeout_ms",
        "max_local_storage_size",
        "model_name",
        "namespace",
        "refresh_ttl",
        "remote_connections",
        "remote_password_file",
        "remote_serde",
        "remote_timeout_ms",
        "remote_url",
        "trust_media_uuids",
        "ttl_s",
        "weights_name",
    }
)
_EXACT = ("naive", "lossless")
_LOG = logging.getLogger("kvtransfer")


def read_settings(
    given: Mapping[str, object], tell: Callable[[int, str], object] = _LOG.log
) -> TransferConfig:
    """Read the settings of one tier from a file, the environment and ``given``; later ones win.

    Args:
        given: what stands in the tier's configuration, without what vLLM reads itself.
        tell: is called with a log level and a sentence for each setting that is ignored.

    Raises:
        ConfigError: a setting is unknown, invalid or of no use here, or names no store.
    """
    config = TransferConfig.load(given, tell=tell)
    for name in sorted(given.keys() - USED):
        raise ConfigError(
            f"{name}={given[name]!r} means nothing in vLLM's offloading, which decides that "
            f"itself; leave it out (a tier takes {', '.join(sorted(USED))})"
        )
    if not config.has_stores:
        raise ConfigError(
            "the tier has no store: set remote_url in it, or KVTRANSFER_REMOTE_URL in the environment"
        )
    if config.remote_serde not in _EXACT:
        raise ConfigError(
            f"remote_serde={config.remote_serde} is not for vLLM's offloading, whose bytes we pass "
            f"on unread; write {' or '.join(_EXACT)}"
        )
    check_stores(config)
    return config
