"""Reads store URLs: which servers there are, which to ask for them, and how to connect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis.exceptions import RedisError

from kvtransfer.errors import ConfigError
from kvtransfer.scheme_aliases import without_alias
from kvtransfer.stores.redis import options as url_options
from kvtransfer.stores.redis.wire.connection import (
    TCPConnection,
    TLSConnection,
    UnixConnection,
)
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from kvtransfer.stores.redis.wire.connection import StoreConnection
    from kvtransfer.stores.settings import StoreSettings

Host = tuple[str, int]

_CONNECTIONS = {"redis": TCPConnection, "rediss": TLSConnection, "unix": UnixConnection}
_DEFAULT_PORTS = {"cluster": 6379, "sentinel": 26379}
_FORMS = {
    "": "redis://user:password@host:6379/0",
    "cluster": "redis-cluster://user:password@host1:6379,host2:6379",
    "sentinel": "redis-sentinel://user:password@host1:26379,host2:26379/service?db=0",
}


@dataclass(frozen=True)
class RedisUrl:
    """The parts of a store URL; its repr shows no password."""

    shown: str
    """The URL without secrets."""
    topology: str
    """``""`` for one server, ``"cluster"`` or ``"sentinel"``."""
    hosts: tuple[Host, ...]
    """The server, nodes of the cluster, or Sentinels; empty for a unix socket."""
    service: str
    """The name of the master at the Sentinels; ``""`` elsewhere."""
    connections: int
    """Most connections to one server at once."""
    timeout_s: float
    """Longest time that a call takes."""
    connection_class: type[Any]
    options: dict[str, Any] = field(repr=False)
    """Arguments of a connection to a server that holds entries."""
    asking_options: dict[str, Any] = field(repr=False)
    """Arguments of a redis-py client that asks where the servers are."""

    def open_connection(self, host: Host | None) -> StoreConnection:
        """Make a connection to ``host``, or to the unix socket where that is None; it connects later."""
        place = {} if host is None else {"host": host[0], "port": host[1]}
        connection: StoreConnection = self.connection_class(**place, **self.options)
        return connection

    def secrets(self) -> list[str | None]:
        """Return the passwords, which no message may show."""
        source = self.options.get("credential_provider")
        read = [] if source is None else source.secrets()
        return [self.options.get("password"), self.asking_options.get("password"), *read]


def read_url(url: str, settings: StoreSettings) -> RedisUrl:
    """Read ``url``, whose options win over ``settings``; Valkey's schemes are read as Redis's.

    Raises:
        ConfigError: the URL is malformed, names a file that can't be read, or has an option that
            redis-py doesn't know.
    """
    url = without_alias(url)
    form = _FORMS.get(url.partition("://")[0].partition("-")[2], _FORMS[""])
    try:
        read = _read(url, settings)
        read.open_connection(read.hosts[0] if read.hosts else None)  # refuses bad options now
    except ConfigError:
        raise
    except (ValueError, TypeError, RedisError):
        # The error's text may quote a part of the password, so it isn't passed on.
        raise ConfigError(
            f"store URL {masked(url)!r} is malformed: write {form} with special characters "
            "percent-encoded, and only options that redis-py knows"
        ) from None
    url_options.check_files(read.options, read.shown)
    return read


def _read(url: str, settings: StoreSettings) -> RedisUrl:
    parts = urlsplit(url)
    family, _, topology = parts.scheme.partition("-")
    _check(parts, topology)
    options = url_options.in_url(_without_hosts(parts) if topology else url)
    host = (options.pop("host", "localhost"), options.pop("port", 6379))
    single = () if family == "unix" else (host,)
    connections = options.pop("max_connections", settings.connections)
    theirs = {name: options.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    url_options.complete(options, settings, masked(url))
    if family != "unix":
        options = url_options.keep_alive() | options
    asking = url_options.for_asking(options, theirs if topology == "sentinel" else None)
    return RedisUrl(
        shown=masked(url),
        topology=topology,
        hosts=_hosts(parts, _DEFAULT_PORTS[topology]) if topology else single,
        service=unquote(parts.path.strip("/")) if topology == "sentinel" else "",
        connections=connections,
        timeout_s=options["socket_timeout"],
        connection_class=_CONNECTIONS[family],
        options=options,
        asking_options=asking | ({"ssl": True} if family == "rediss" else {}),
    )


def _without_hosts(parts: SplitResult) -> str:
    """Return the URL with one host: redis-py reads no list of them."""
    user, at, _ = parts.netloc.rpartition("@")
    return f"{parts.scheme.partition('-')[0]}://{user}{at}host/?{parts.query}"


def _hosts(parts: SplitResult, default_port: int) -> tuple[Host, ...]:
    texts = parts.netloc.rpartition("@")[2].split(",")
    return tuple(_host(text, default_port) for text in texts)


def _host(text: str, default_port: int) -> Host:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path:
        raise ValueError("not a host")
    return parts.hostname, parts.port or default_port


def _check(parts: SplitResult, topology: str) -> None:
    """Refuse what redis-py would silently misread.

    Raises:
        ValueError: the URL has such a part.
    """
    path = parts.path.strip("/")
    if parts.fragment:
        raise ValueError("an unencoded #")
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("no path")
    if parts.scheme != "unix" and not topology and path and not path.isdigit():
        raise ValueError("database is no number")
    if topology == "cluster" and (path or "db=" in parts.query):
        raise ValueError("a cluster has no databases")
    if topology == "sentinel" and (not path or "/" in path):
        raise ValueError("no service")
    if "decode_responses" in parts.query:
        raise ValueError("payloads are bytes")
