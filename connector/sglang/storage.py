"""Implements SGLang's storage of its hierarchical cache: passes each call to a ``PageStore``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sglang.srt.mem_cache.hicache_storage import (
    HiCacheStorage,
    PoolHitPolicy,
    PoolTransferResult,
)

from kvtransfer.connector.sglang import hits
from kvtransfer.connector.sglang.page_store import PageStore
from kvtransfer.connector.sglang.ranks import Place, Ranks
from kvtransfer.connector.sglang.settings import read_settings
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from sglang.srt.mem_cache.hicache_storage import (
        HiCacheStorageConfig,
        HiCacheStorageExtraInfo,
        PoolTransfer,
    )

_LOG = logging.getLogger("kvtransfer")


class KVTransferStorage(HiCacheStorage):
    """Keeps the pages of one process of SGLang in the stores that its settings name.

    SGLang calls it on threads of its own, one that asks, one that reads and one that writes, never
    on its scheduler's. After the constructor and the calls that register pools nothing raises.

    Args:
        storage_config: SGLang's, of which ``extra_config`` holds our settings.
        kwargs: what else SGLang passes to storages of any kind; unused.

    Raises:
        ConfigError: a setting, or the way that pages are divided over ranks, isn't supported.
    """

    def __init__(
        self, storage_config: HiCacheStorageConfig, kwargs: Mapping[str, Any] | None = None
    ) -> None:
        self._config = read_settings(storage_config.extra_config or {})
        model_name = self._config.model_name or storage_config.model_name
        if not model_name:
            raise ConfigError("SGLang names no model; set model_name")
        self._place = Place(
            model_name,
            self._config.weights_name,
            self._config.namespace,
            Ranks.of(storage_config),
            storage_config.is_mla_model,
        )
        self._pages: PageStore | None = None

    def register_mem_pool_host(self, mem_pool_host: Any) -> None:
        """Open the stores for the pages of ``mem_pool_host``, before SGLang moves any.

        Raises:
            ConfigError: its pages, or a store, can't be used.
        """
        super().register_mem_pool_host(mem_pool_host)
        self.close()
        self._pages = PageStore(self._config, self._place, mem_pool_host)

    def register_mem_host_pool_v2(self, host_pool: Any, host_pool_name: str) -> None:
        """Serve the pages of another pool of a hybrid model, too.

        Raises:
            ConfigError: its pages can't be stored.
        """
        super().register_mem_host_pool_v2(host_pool, host_pool_name)
        if host_pool_name != "kv":  # which was registered as the main pool
            self._opened().add(str(host_pool_name), host_pool)

    # --- what is stored

    def exists(self, key: str) -> bool:
        """Whether the page ``key`` is stored."""
        return self.batch_exists([key]) == 1

    def batch_exists(
        self, keys: Sequence[str], extra_info: HiCacheStorageExtraInfo | None = None
    ) -> int:
        """Count the pages before the first that isn't stored."""
        return hits.leading(self._opened().found("kv", keys))

    def batch_exists_v2(
        self,
        keys: Sequence[str],
        pool_transfers: Sequence[PoolTransfer] | None = None,
        extra_info: HiCacheStorageExtraInfo | None = None,
    ) -> PoolTransferResult:
        """Find the prefixes of which every pool has what SGLang needs to go on behind them."""
        kv_pages = self.batch_exists(keys, extra_info)
        prefixes = set(range(1, kv_pages + 1))
        reached = {"kv": kv_pages} if kv_pages else {}
        for transfer in pool_transfers or ():
            if transfer.hit_policy == PoolHitPolicy.BLOCK_GROUPS:
                continue  # another form of the same pages, which decides about no prefix
            served = self._served(transfer, keys[:kv_pages])
            if served:
                reached[transfer.name] = served[-1]
            prefixes.intersection_update(served)
        return PoolTransferResult(max(prefixes, default=0), reached, sorted(prefixes))

    def _served(self, transfer: PoolTransfer, keys: Sequence[str]) -> list[int]:
        """The prefixes of ``keys``, in pages, that the pool of ``transfer`` can serve."""
        found = self._opened().found(transfer.name, keys)
        if transfer.hit_policy == PoolHitPolicy.TRAILING_PAGES:
            return hits.trailing_pages(found, max(1, len(transfer.keys or ())))
        return hits.all_pages(found)

    # --- pages, where they lie in SGLang's host memory

    def batch_get_v1(
        self,
        keys: Sequence[str],
        host_indices: torch.Tensor,
        extra_info: HiCacheStorageExtraInfo | None = None,
    ) -> list[bool]:
        """Fill the pages ``keys`` of the main pool; returns which are filled."""
        return self._opened().read("kv", keys, host_indices)

    def batch_set_v1(
        self,
        keys: Sequence[str],
        host_indices: torch.Tensor,
        extra_info: HiCacheStorageExtraInfo | None = None,
    ) -> list[bool]:
        """Store the pages ``keys`` of the main pool; returns which are stored."""
        return self._opened().write("kv", keys, host_indices)

    def batch_get_v2(
        self,
        transfers: Sequence[PoolTransfer],
        extra_info: HiCacheStorageExtraInfo | None = None,
    ) -> dict[str, list[bool]]:
        """Fill pages of several pools; returns which are filled, by the name of the pool."""
        return _each(transfers, self._opened().read)

    def batch_set_v2(
        self,
        transfers: Sequence[PoolTransfer],
        extra_info: HiCacheStorageExtraInfo | None = None,
    ) -> dict[str, list[bool]]:
        """Store pages of several pools; returns which are stored, by the name of the pool."""
        return _each(transfers, self._opened().write)

    # --- pages as tensors, which SGLang passes only without interface_v1: that is refused

    def get(self, key: str, target_location: Any = None, target_sizes: Any = None) -> None:
        """A miss."""

    def batch_get(
        self, keys: Sequence[str], target_locations: Any = None, target_sizes: Any = None
    ) -> list[None]:
        """A miss for each of ``keys``."""
        return [None] * len(keys)

    def set(
        self, key: str, value: Any = None, target_location: Any = None, target_sizes: Any = None
    ) -> bool:
        """Not stored."""
        return False

    def batch_set(
        self,
        keys: Sequence[str],
        values: Any = None,
        target_locations: Any = None,
        target_sizes: Any = None,
    ) -> bool:
        """Not stored."""
        return False

    # ---

    def clear(self) -> None:
        """Keep what is stored: other engines may share it."""
        _LOG.warning(
            "kvtransfer clears no store, which others may share: set another namespace, or remove "
            "the entries on the server"
        )

    def close(self) -> None:
        """Close the stores; SGLang has ended its threads."""
        if self._pages is not None:
            self._pages.close()
            self._pages = None

    def _opened(self) -> PageStore:
        assert self._pages is not None, "SGLang registers its main pool before all else"
        return self._pages


def _each(
    transfers: Sequence[PoolTransfer],
    move: Callable[[str, Sequence[str], torch.Tensor | None], list[bool]],
) -> dict[str, list[bool]]:
    return {each.name: move(each.name, each.keys or [], each.host_indices) for each in transfers}
