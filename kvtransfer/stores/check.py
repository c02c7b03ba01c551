"""Whether the stores of a configuration can be opened, as far as that shows without opening any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.metrics import Metrics
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.disk.url import read_disk_url
from kvtransfer.stores.seals.in_use import Seals

if TYPE_CHECKING:
    from kvtransfer.config import TransferConfig

_REDIS = ("redis://", "rediss://", "unix://", "redis-", "rediss-")


def check_stores(config: TransferConfig) -> None:
    """Connects to nothing, starts nothing and makes no folder.

    Raises:
        ConfigError: a URL is malformed or needs what isn't here, the folder has no size, or a key
            file can't be used.
    """
    if config.local_storage is not None and not config.max_local_storage_size:
        raise ConfigError(
            f"local_storage={config.local_storage} may hold nothing: set max_local_storage_size "
            "to the GiB that it may hold"
        )
    settings = StoreSettings(
        timeout_s=config.remote_timeout_ms / 1000,
        password_file=config.remote_password_file,
        seals=Seals.open(config, Metrics()),
    )
    if config.remote_url is not None:
        _check_url(config.remote_url, settings)


def _check_url(url: str, settings: StoreSettings) -> None:
    if url.startswith(_REDIS):
        from kvtransfer.stores.redis.url import read_url

        read_url(url, settings)
    elif url.startswith("embedded://"):
        from kvtransfer.stores.embedded.server import server_binary
        from kvtransfer.stores.embedded.store import read_embedded_url

        read_embedded_url(url)
        server_binary()
    elif url.startswith("disk://"):
        read_disk_url(url)
