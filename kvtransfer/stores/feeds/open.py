"""Opens the feed of the stores that a configuration names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kvtransfer.metrics import Metrics
from kvtransfer.stores.feeds.folder import FolderFeed
from kvtransfer.stores.feeds.sealed import SealedFeed
from kvtransfer.stores.open import settings_of
from kvtransfer.stores.schemes import scheme_of
from kvtransfer.stores.shelf import Shelf

if TYPE_CHECKING:
    from kvtransfer.config import TransferConfig
    from kvtransfer.stores.feeds.interface import Feed
    from kvtransfer.stores.settings import StoreSettings


def open_feed(config: TransferConfig, shelf: Shelf | None = None) -> SealedFeed | None:
    """Open the feed in the remote store, or in the local folder where there is no remote store.

    Payloads are sealed with the keys that seal entries. Nothing connects before the first call.

    Args:
        config: the folder, the URL, and their limits.
        shelf: what ``memory://`` holds; feeds on one shelf see the same payloads.

    Returns:
        None where ``config`` names no store that carries a feed.

    Raises:
        ConfigError: the URL is malformed, or a key file can't be used.
    """
    settings = replace(settings_of(config, Metrics()), shelf=shelf or Shelf(), connections=1)
    feed = _unsealed(config, settings)
    return None if feed is None else SealedFeed(feed, settings.seals)


def _unsealed(config: TransferConfig, settings: StoreSettings) -> Feed | None:
    if config.remote_url is not None:
        store = scheme_of(config.remote_url).store_class()
        return store.open_feed(config.remote_url, settings)
    return None if config.local_storage is None else FolderFeed(config.local_storage)
