"""Defines the options that all verbs about a store share, and opens the store that they name."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError
from kvtransfer.metrics import Metrics
from kvtransfer.operate.pace import Pace
from kvtransfer.stores.open import open_entries, settings_of
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvtransfer.operate.selection import Selection
    from kvtransfer.stores.interface import Store, StoredEntry
    from kvtransfer.stores.settings import StoreSettings

ENTRIES_PER_S = 10_000
"""How many entries are listed a second, unless somebody says otherwise; see ``benchmarks/bench_operate.py``."""


@dataclass(frozen=True)
class StoreOptions:
    """Which store to look into, and how fast."""

    config: TransferConfig
    url: str
    rate: float

    @property
    def address(self) -> str:
        """The URL without its password."""
        return masked(self.url)

    def nothing(self, selection: Selection) -> str:
        """Say that the store holds nothing that was asked for."""
        asked = "" if selection.is_everything else " that the options ask for"
        return f"{self.address} holds no entry of ours{asked}"

    @property
    def settings(self) -> StoreSettings:
        """Settings of the store for somebody who changes nothing."""
        return replace(settings_of(self.config, Metrics()), only_reads=True)

    @contextmanager
    def opened(self, settings: StoreSettings) -> Iterator[Store]:
        """Open the store while the body runs."""
        with closing(open_entries(self.url, settings)) as store:
            yield store

    def paced(self, store: Store) -> Iterator[StoredEntry]:
        """Yield the entries of ``store``, not faster than ``rate`` a second."""
        return Pace(self.rate).each(store.entries())


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` the URL and the options, as its first argument, a ``StoreOptions``."""

    @click.argument("url", required=False)
    @click.option("--password-file", help="File with the store's password.")
    @click.option("--integrity-key-file", help="As the setting of that name.")
    @click.option("--encryption-key-file", help="As the setting of that name.")
    @click.option("--timeout-ms", type=click.IntRange(1), help="Longest wait for one answer.")
    @click.option(
        "--rate",
        type=click.FloatRange(0),
        default=ENTRIES_PER_S,
        show_default=True,
        help="Entries a second at most; 0: as fast as the store answers.",
    )
    @wraps(command)
    def with_options(
        url: str | None,
        password_file: str | None,
        integrity_key_file: str | None,
        encryption_key_file: str | None,
        timeout_ms: int | None,
        rate: float,
        **others: Any,
    ) -> Any:
        given = {
            "remote_url": url,
            "remote_password_file": password_file,
            "integrity_key_file": integrity_key_file,
            "encryption_key_file": encryption_key_file,
            "remote_timeout_ms": timeout_ms,
        }
        config = TransferConfig.load({name: each for name, each in given.items() if each})
        return command(StoreOptions(config, _url(config), rate), **others)

    return with_options


def _url(config: TransferConfig) -> str:
    """Return the URL of the store.

    Raises:
        ConfigError: no source names one.
    """
    if config.remote_url is None:
        raise ConfigError("name the store: a URL, or KVTRANSFER_REMOTE_URL in the environment")
    return config.remote_url
