"""Opens the stores that a configuration or a URL names."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from kvtransfer.metrics import Metrics
from kvtransfer.quotas.quotas_file import Quotas
from kvtransfer.stores.circuit_breaker import CircuitBreaker
from kvtransfer.stores.codecs import open_forms
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.interface import FAR_FETCHES
from kvtransfer.stores.ledgers.scope import ScopeLimits
from kvtransfer.stores.ledgers.store import QuotaStore
from kvtransfer.stores.read_replica import ReplicatedStore, check_replica
from kvtransfer.stores.schemes import scheme_of
from kvtransfer.stores.seals.in_use import Seals
from kvtransfer.stores.settings import StoreSettings
from kvtransfer.stores.shelf import Shelf
from kvtransfer.stores.tiered import Tier, TieredStore, unheard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvtransfer.chunks.layout import Formats
    from kvtransfer.config import TransferConfig
    from kvtransfer.stores.interface import Store
    from kvtransfer.stores.ledgers.interface import Ledger


def open_store(url: str, formats: Formats, settings: StoreSettings) -> FormattedStore:
    """Open the store at ``url`` for pieces of the formats given; it connects when it is first used.

    Raises:
        ConfigError: the URL names no known store, is malformed, or needs a library that isn't
            installed here.
    """
    return FormattedStore(open_entries(url, settings), formats)


def open_entries(url: str, settings: StoreSettings) -> Store:
    """Open the store at ``url`` for entries of any format, for example to list them.

    Raises:
        ConfigError: as for ``open_store``.
    """
    return scheme_of(url).store_class().open(url, settings)


def open_ledger(url: str, settings: StoreSettings) -> Ledger:
    """Open the ledgers of the store at ``url``, in which quotas are kept.

    Raises:
        ConfigError: as for ``open_store``, or the store can keep none.
    """
    return scheme_of(url).store_class().open_ledger(url, settings)


def open_tiers(
    config: TransferConfig,
    formats: Formats,
    metrics: Metrics | None = None,
    shelf: Shelf | None = None,
    lack: Callable[[str, str], None] = unheard,
) -> TieredStore | None:
    """Open the stores that ``config`` names; None where it names none.

    Args:
        config: the folder, the URL, and their limits.
        formats: of every payload.
        metrics: count what each tier served and what was refused, and show open breakers.
        shelf: what ``memory://`` holds; stores on one shelf see the same entries.
        lack: is told a tier and a key, without its tenant, where the tier did not take what was
            put, or where this process evicts it from the folder.

    Raises:
        ConfigError: a URL is malformed, the folder has no size, a key file can't be used, or
            ``remote_serde`` has no use for the cache.
    """
    check_replica(config)
    metrics = metrics or Metrics()
    settings = replace(settings_of(config, metrics), shelf=shelf or Shelf())
    tiers = [
        Tier(name, _guarded(store, address, formats, metrics, serde))
        for name, address, store, serde in _stores(config, settings, metrics, lack)
    ]
    return TieredStore(tiers, formats, metrics, lack) if tiers else None


def settings_of(config: TransferConfig, metrics: Metrics) -> StoreSettings:
    """Read the settings of stores from ``config``; ``metrics`` count what seals refuse.

    Raises:
        ConfigError: a key file can't be used.
    """
    return StoreSettings(
        ttl_s=config.ttl_s,
        refresh_ttl=config.refresh_ttl,
        timeout_s=config.remote_timeout_ms / 1000,
        # All fetching threads at once, and the one that puts.
        connections=max(config.remote_connections, FAR_FETCHES) + 1,
        password_file=config.remote_password_file,
        password_command=config.remote_password_command,
        password_max_age_s=config.remote_password_max_age_s,
        seals=Seals.open(config, metrics),
    )


def _stores(
    config: TransferConfig,
    settings: StoreSettings,
    metrics: Metrics,
    lack: Callable[[str, str], None],
) -> Iterator[tuple[str, str, Store, str]]:
    """Yield the name, address and store of each tier, fastest first, and its ``remote_serde``."""
    if config.local_storage is not None:
        from kvtransfer.stores.disk.store import DiskStore

        limit_bytes = int(config.max_local_storage_size * 2**30)
        disk = DiskStore(
            config.local_storage,
            settings,
            limit_bytes=limit_bytes,
            evicted=partial(lack, "disk"),
        )
        yield "disk", disk.address, disk, "naive"
    if config.remote_url is not None:
        store = _remote(config, config.remote_url, settings, metrics)
        yield "remote", config.remote_url, store, config.remote_serde


def _remote(config: TransferConfig, url: str, settings: StoreSettings, metrics: Metrics) -> Store:
    """Open the store at ``url``, with the quotas that ``config`` names, and its replica, if any."""
    store = _read_nearby(config, url, settings)
    limits = Quotas.read(config.quotas_file).remote
    if limits is None:
        return store
    ledger = open_ledger(url, settings)
    return QuotaStore(store, ledger, ScopeLimits(limits, config.namespace), metrics)


def _read_nearby(config: TransferConfig, url: str, settings: StoreSettings) -> Store:
    """Open the store at ``url``, with the replica that ``config`` names for reads, if any."""
    primary = open_entries(url, settings)
    if config.remote_read_url is None:
        return primary
    # Where a cluster follows another one, the halves of an entry may arrive one after the other, so
    # that half an entry is no sign of damage.
    only_read = replace(settings, only_reads=True)
    return ReplicatedStore(primary, open_entries(config.remote_read_url, only_read))


def _guarded(
    store: Store, address: str, formats: Formats, metrics: Metrics, serde: str
) -> GuardedStore:
    for name, value in store.gauges.items():
        metrics.watch(name, value)
    breaker = CircuitBreaker(store.breaker_settings)
    formatted = FormattedStore(store, formats, open_forms(serde, formats, metrics))
    guarded = GuardedStore(formatted, address, breaker=breaker)
    metrics.watch("open_breakers", guarded.open_breakers)
    return guarded
