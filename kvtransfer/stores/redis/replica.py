"""Reads entries on a server that follows another one and takes no writes itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kvtransfer.stores.redis.store import RedisStore

if TYPE_CHECKING:
    from kvtransfer.stores.settings import StoreSettings


class RedisReplica(RedisStore):
    """A :class:`RedisStore` that is only read: hits renew nothing, and damage stays where it is.

    Where a cluster follows another one, the halves of an entry may arrive one after the other, so
    that half an entry is no sign of damage.
    """

    def __init__(self, url: str, settings: StoreSettings) -> None:
        super().__init__(url, replace(settings, refresh_ttl=False))

    def _drop(self, key: str, deadline_s: float) -> None:
        del key, deadline_s
