"""Stores the pages of all pools of one process of SGLang."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kvtransfer.chunks.keys import namespace
from kvtransfer.connector.sglang.batch import Batches
from kvtransfer.connector.sglang.page_formats import PageFormats
from kvtransfer.connector.sglang.page_keys import PageKeys
from kvtransfer.connector.sglang.pages import pages_of
from kvtransfer.connector.sglang.pool_facts import part_of, pool_facts
from kvtransfer.errors import ConfigError
from kvtransfer.rare_log import RareLog
from kvtransfer.stores.open import open_tiers
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from kvtransfer.config import TransferConfig
    from kvtransfer.connector.sglang.pages import Pages
    from kvtransfer.connector.sglang.ranks import Place
    from kvtransfer.stores.tiered import TieredStore

_LOG = logging.getLogger("kvtransfer")


@dataclass(frozen=True)
class _Pool:
    pages: Pages
    keys: PageKeys
    page_size: int
    is_written: bool
    """Whether this process writes its pages, rather than another that holds the same."""


class PageStore:
    """Opens the stores of ``config`` for pages of the pool ``kv``, and of others as they come.

    Nothing but :meth:`add` raises; what fails is a miss. Pools may be added while pages move.

    Raises:
        ConfigError: the pool's pages, or a store, can't be used.
    """

    def __init__(self, config: TransferConfig, place: Place, kv: Any) -> None:
        self._config = config
        self._place = place
        self._formats = PageFormats()
        self._pools: dict[str, _Pool] = {}
        self._mistakes = RareLog()
        self.add("kv", kv)
        self._store = _opened(config, self._formats)
        self._batches = Batches(config.remote_connections, config.load_timeout_ms / 1000)

    def add(self, name: str, pool: Any) -> None:
        """Serve the pages of ``pool``, in place of an earlier pool of this name.

        Raises:
            ConfigError: its pages can't be stored.
        """
        place = self._place
        pages = pages_of(name, pool)
        part = part_of(name, pool, place)
        forms = self._formats.add(pool.layout, pool.dtype, pool.page_size, pages.part_bytes)
        facts = {**pool_facts(name, pool, place), "part_bytes": pages.part_bytes}
        keys = PageKeys(place.model_name, namespace(facts), part, forms)
        is_written = part == place.ranks.sharded or place.ranks.is_writer
        self._pools[name] = _Pool(pages, keys, pool.page_size, is_written)
        self._tell(name, pool, pages)

    def found(self, name: str, page_hashes: Sequence[str]) -> list[bool]:
        """Say for each page of the pool ``name``, in order, whether all its parts are stored."""
        pool = self._pools.get(name)
        if pool is None:
            self._mistakes.warn(
                f"SGLang asks for pages of {name!r}, a pool that it hasn't registered"
            )
            return [False] * len(page_hashes)
        keys = [pool.keys.of(page_hash) for page_hash in page_hashes]
        asked = [key for parts in keys for key in parts]
        found = zip(asked, self._store.contains(asked), strict=True)
        held = {key for key, is_held in found if is_held}
        return [held.issuperset(parts) for parts in keys]

    def read(
        self, name: str, page_hashes: Sequence[str], indices: torch.Tensor | None
    ) -> list[bool]:
        """Fill pages of the pool ``name`` with what is stored; returns which of them are filled.

        Args:
            name: SGLang's name of the pool.
            page_hashes: SGLang's names of the pages.
            indices: where the tokens of all these pages lie in the pool, int64, page by page.
        """
        return self._move(name, page_hashes, indices, self._batches.read, self._fill)

    def write(
        self, name: str, page_hashes: Sequence[str], indices: torch.Tensor | None
    ) -> list[bool]:
        """Store pages of the pool ``name``; returns which of them are stored, here or by their writer.

        Arguments are as for ``read``.
        """
        pool = self._pools.get(name)
        if pool is not None and not pool.is_written:
            return [True] * len(page_hashes)
        if pool is not None:
            keys = [key for page_hash in page_hashes for key in pool.keys.of(page_hash)]
            self._store.expect_puts(keys)
        return self._move(name, page_hashes, indices, self._batches.write, self._put)

    def close(self) -> None:
        """Close the stores; no other call may be running or follow."""
        self._batches.close()
        self._store.close()

    def _move(
        self,
        name: str,
        page_hashes: Sequence[str],
        indices: torch.Tensor | None,
        run: Callable[[Sequence[Callable[[], bool]]], list[bool]],
        move: Callable[[_Pool, str, torch.Tensor], bool],
    ) -> list[bool]:
        pool = self._pools.get(name)
        count = len(page_hashes)
        if pool is None or indices is None or len(indices) != count * pool.page_size:
            told = "no pool of this name" if pool is None else "indices that don't fit its pages"
            self._mistakes.warn(f"SGLang moves {count} pages of {name!r}: {told}; they are misses")
            return [False] * count
        places = indices.cpu().reshape(count, pool.page_size)
        self._batches.widen(self._store.parallelism)
        return run([partial(move, pool, *page) for page in zip(page_hashes, places, strict=True)])

    def _fill(self, pool: _Pool, page_hash: str, indices: torch.Tensor) -> bool:
        keys = pool.keys.of(page_hash)
        return pool.pages.fill(
            indices, lambda part, memory: self._store.get_into(keys[part], memory)
        )

    def _put(self, pool: _Pool, page_hash: str, indices: torch.Tensor) -> bool:
        keys = pool.keys.of(page_hash)
        return pool.pages.put(indices, lambda part, memory: self._store.put(keys[part], memory))

    def _tell(self, name: str, pool: Any, pages: Pages) -> None:
        sizes = " + ".join(f"{nbytes / 2**20:.2f} MiB" for nbytes in pages.part_bytes) or "nothing"
        stores = filter(None, (self._config.local_storage, self._config.remote_url))
        _LOG.info(
            "kvtransfer stores %s for each page of %d tokens of SGLang's pool %s (%s) in %s",
            sizes, pool.page_size, name, pool.layout, ", ".join(map(masked, stores)),
        )  # fmt: skip


def _opened(config: TransferConfig, formats: PageFormats) -> TieredStore:
    store = open_tiers(config, formats)
    if store is None:
        raise ConfigError("no store to keep SGLang's pages in; set remote_url or local_storage")
    return store
