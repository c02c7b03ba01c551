"""Refuses a configuration whose stores can't be opened, without opening any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.metrics import Metrics
from kvtransfer.quotas.quotas_file import Quotas
from kvtransfer.stores.open import settings_of
from kvtransfer.stores.read_replica import check_replica
from kvtransfer.stores.schemes import scheme_of

if TYPE_CHECKING:
    from kvtransfer.config import TransferConfig


def check_stores(config: TransferConfig) -> None:
    """Check the folder, the key files and the URLs without connecting or making a folder.

    Raises:
        ConfigError: a URL is malformed or needs a missing library, the folder has no size, the
            replica can't serve, a key file can't be used, or the store can't keep the quotas.
    """
    if config.local_storage is not None and not config.max_local_storage_size:
        raise ConfigError(
            f"local_storage={config.local_storage} may hold nothing: set max_local_storage_size "
            "to the GiB that it may hold"
        )
    settings = settings_of(config, Metrics())
    if config.remote_url is not None:
        url = config.remote_url
        store_class = scheme_of(url).store_class()
        store_class.check(url, settings)
        if Quotas.read(config.quotas_file).remote is not None and not store_class.keeps_quotas:
            store_class.open_ledger(url, settings)  # raises
    check_replica(config)
    if config.remote_read_url is not None:
        scheme_of(config.remote_read_url).store_class().check(config.remote_read_url, settings)
