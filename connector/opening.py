"""Logs at start what this engine caches and where, and what to change in its Redis server."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from threading import Thread
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.host_memory import slots
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.schemes import scheme_of
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.chunks.layout import Formats
    from kvtransfer.config import TransferConfig
    from kvtransfer.stores.redis.server_info import Server

_LOG = logging.getLogger("kvtransfer")


def tell_opening(config: TransferConfig, formats: Formats, ranks: int) -> None:
    """Log the chunk's size, the tiers and, if there is a Redis server, what it says of itself.

    A thread of its own asks the server, so the engine's start doesn't wait for the answer.
    """
    said = "; ".join([_chunks(config, formats, ranks), *_tiers(config)])
    url = config.remote_url
    if url is None or not scheme_of(url).is_redis_server:
        _LOG.info("%s", said)
        return
    Thread(
        target=_tell_with_server, args=(said, config, url), name="kvtransfer-opening", daemon=True
    ).start()


def _chunks(config: TransferConfig, formats: Formats, ranks: int) -> str:
    each = "" if ranks == 1 else f" on each of {ranks} ranks"
    return (
        f"kvtransfer {_version()}: chunks of {formats.chunk_tokens} tokens"
        f"{_reason(config, formats)}, {_size(formats)}{each}; "
        f"host memory of {config.max_local_cpu_size:g} GiB for {slots(config, formats)} "
        f"{'chunks' if len(formats.formats) == 1 else 'pieces'}"
        f"{'' if config.local_cpu else ', on their way only'}"
    )


def _reason(config: TransferConfig, formats: Formats) -> str:
    if formats.chunk_tokens == config.chunk_size:
        return ""
    return f" (not chunk_size={config.chunk_size}: the model's blocks need that)"


def _size(formats: Formats) -> str:
    if len(formats.formats) == 1:
        return f"{formats.slot_bytes / 2**20:.2f} MiB"
    return (
        f"pieces of {len(formats.formats)} cache groups, up to "
        f"{formats.slot_bytes / 2**20:.2f} MiB each"
    )


def _version() -> str:
    try:
        return version("kvtransfer")
    except PackageNotFoundError:  # run from its sources
        return "(not installed)"


def _tiers(config: TransferConfig) -> Iterator[str]:
    if config.local_storage is not None:
        yield f"disk {config.local_storage} of {config.max_local_storage_size:g} GiB"
    if config.remote_url is not None:
        yield f"store {masked(config.remote_url)}, {config.write_policy}"
    if config.remote_read_url is not None:
        yield f"read from {masked(config.remote_read_url)}"


def _tell_with_server(said: str, config: TransferConfig, url: str) -> None:
    from kvtransfer.stores.redis.server_info import ask_server

    settings = StoreSettings(
        timeout_s=config.remote_timeout_ms / 1000,
        password_file=config.remote_password_file,
        password_command=config.remote_password_command,
        password_max_age_s=config.remote_password_max_age_s,
    )
    try:
        server = ask_server(url, settings)
    except (ConfigError, StoreError) as error:
        _LOG.info("%s", said)
        _LOG.warning("store %s doesn't answer: its chunks are misses (%s)", masked(url), error)
        return
    _LOG.info("%s: %s, %s, %.1f ms", said, server.name, server.memory, server.answer_s * 1000)
    for warning in warnings(server):
        _LOG.warning("store %s: %s", server.shown, warning)


def warnings(server: Server) -> Iterator[str]:
    """Yield a sentence for each thing that the operator of ``server`` should change."""
    if server.info.get("maxmemory_policy") == "noeviction":
        yield (
            "maxmemory-policy is noeviction, so a full server takes no chunk any more; set "
            "maxmemory and maxmemory-policy allkeys-lru"
        )
    if not server.has_password and not server.shown.startswith("unix://"):
        yield (
            "it asks for no password: anyone who reaches it can read and change what is cached; set "
            "requirepass, or users, and write redis://:PASSWORD@..."
        )
