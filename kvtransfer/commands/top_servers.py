"""The servers' part of ``kvtransfer top``: what each Redis or Valkey of a store does, live."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from kvtransfer.commands.columns import Column, fitted, named_below
from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.metrics import Metrics
from kvtransfer.operate.quantities import bytes_text
from kvtransfer.operate.server_load import ServerLoad, load_between
from kvtransfer.stores.open import settings_of
from kvtransfer.stores.schemes import scheme_of
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from kvtransfer.stores.redis.servers import Servers


def _bytes(nbytes: float) -> Text:
    return Text(bytes_text(nbytes) if nbytes else "0")


def _used(of: ServerLoad) -> Text:
    if not of.limit_bytes:
        return _bytes(of.used_bytes)
    return Text(f"{bytes_text(of.used_bytes)} of {bytes_text(of.limit_bytes)}")


def _share(share: float | None) -> Text:
    return Text("-" if share is None else f"{share:.0%}")


_COLUMNS: tuple[Column[ServerLoad], ...] = (
    Column("memory", 20, 0, _used),
    Column("hits", 4, 0, lambda of: _share(of.hit_share)),
    Column("sent\nper s", 8, 1, lambda of: _bytes(of.sent_bytes_per_s)),
    Column("received\nper s", 8, 2, lambda of: _bytes(of.received_bytes_per_s)),
    Column("commands\nper s", 8, 4, lambda of: Text(f"{of.commands_per_s:,.0f}")),
    Column("evicted\nper s", 7, 0, lambda of: Text(f"{of.evicted_per_s:.1f}")),
    Column("clients", 7, 3, lambda of: Text(str(of.clients))),
)


@dataclass(frozen=True)
class ServersLook:
    """What the servers of a store said of themselves at one moment."""

    seconds: float
    infos: Mapping[str, Mapping[str, str]]
    """Fields of INFO by server; empty where the store doesn't answer."""
    why_not: str = ""
    """Why it doesn't."""


class WatchedStore:
    """The servers of the store at ``url``; opens connections at the first look.

    Raises:
        ConfigError: the URL is malformed, or names no Redis or Valkey.
    """

    def __init__(self, url: str) -> None:
        config = TransferConfig.load({"remote_url": url})
        if config.remote_url is None or not scheme_of(config.remote_url).is_redis_server:
            raise ConfigError(
                f"--store {masked(url)!r} is no Redis or Valkey, which alone say INFO"
            )
        from kvtransfer.stores.redis.store import servers_of
        from kvtransfer.stores.redis.url import read_url

        read = read_url(config.remote_url, settings_of(config, Metrics()))
        self._servers: Servers = servers_of(read)

    def look(self) -> ServersLook:
        """Ask every server."""
        try:
            return ServersLook(time.monotonic(), self._servers.infos())
        except StoreError as error:
            return ServersLook(time.monotonic(), {}, str(error))

    def close(self) -> None:
        """Close every connection."""
        self._servers.close()


def loads_between(before: ServersLook, after: ServersLook) -> Mapping[str, ServerLoad]:
    """Return what each server of ``after`` has done since ``before``."""
    seconds = max(after.seconds - before.seconds, 1e-3)
    return {
        name: load_between(before.infos.get(name, fields), fields, seconds)
        for name, fields in after.infos.items()
    }


def objects_of(before: ServersLook, after: ServersLook) -> list[dict[str, object]]:
    """Make an object a server, or one that says why none answers."""
    if after.why_not:
        return [{"error": after.why_not}]
    return [{"server": name, **asdict(load)} for name, load in loads_between(before, after).items()]


def servers_screen(before: ServersLook, after: ServersLook, width: int) -> Sequence[Table | Text]:
    """Make a table of the servers, in ``width`` characters, or a line that says why there is none."""
    if after.why_not:
        return [Text(after.why_not, "red")]
    rows = list(loads_between(before, after).items())
    table, left_out = fitted("server", _COLUMNS, rows, width)
    return [table, *named_below(left_out)]
