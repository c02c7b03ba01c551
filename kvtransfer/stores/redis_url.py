"""What a store URL says: which servers, who is asked where they are, and how to connect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from kvtransfer.errors import ConfigError
from kvtransfer.stores.redis_credentials import PasswordFile
from kvtransfer.stores.redis_wire import WireConnection, WireSSLConnection, WireUnixConnection
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from kvtransfer.stores import StoreSettings
    from kvtransfer.stores.redis_wire import Wire

Host = tuple[str, int]

_CONNECTIONS = {"redis": WireConnection, "rediss": WireSSLConnection, "unix": WireUnixConnection}
_DEFAULT_PORTS = {"": 6379, "cluster": 6379, "sentinel": 26379}
_FORMS = {
    "": "redis://user:password@host:6379/0",
    "cluster": "redis-cluster://user:password@host1:6379,host2:6379",
    "sentinel": "redis-sentinel://user:password@host1:26379,host2:26379/service?db=0",
}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True)
class RedisUrl:
    """A store URL taken apart; no password shows in its repr."""

    shown: str
    """The URL as it may be shown."""
    topology: str
    """``""`` for one server, ``"cluster"`` or ``"sentinel"``."""
    hosts: tuple[Host, ...]
    """The server, nodes of the cluster, or Sentinels; nothing for a unix socket."""
    service: str
    """What Sentinel calls the master; ``""`` elsewhere."""
    connections: int
    """To one server at once."""
    connection_class: type[Any]
    options: dict[str, Any] = field(repr=False)
    """Of a connection to a server that holds entries."""
    asking_options: dict[str, Any] = field(repr=False)
    """Of a redis-py client that asks where the servers are."""

    def open_connection(self, host: Host | None) -> Wire:
        """A connection to ``host``, or to the unix socket, that isn't connected yet."""
        place = {} if host is None else {"host": host[0], "port": host[1]}
        connection: Wire = self.connection_class(**place, **self.options)
        return connection

    def secrets(self) -> list[str | None]:
        """What no message may show."""
        asked, held = self.asking_options, self.options
        latest = [
            getattr(o.get("credential_provider"), "last_password", None) for o in (asked, held)
        ]
        return [asked.get("password"), held.get("password"), *latest]


def read_url(url: str, settings: StoreSettings) -> RedisUrl:
    """``url`` and ``settings`` as connections need them; an option in ``url`` wins.

    Raises:
        ConfigError: the URL is malformed, or has an option that redis-py doesn't know.
    """
    form = _FORMS.get(url.partition("://")[0].partition("-")[2], _FORMS[""])
    try:
        read = _read(url, settings)
        read.open_connection(read.hosts[0] if read.hosts else None)  # refuses bad options now
    except ConfigError:
        raise
    except (ValueError, TypeError, RedisError):
        # Their texts may quote a part of the password, so the cause is not passed on.
        raise ConfigError(
            f"store URL {masked(url)!r} is malformed: write {form} with special characters "
            "percent-encoded, and only options that redis-py knows"
        ) from None
    _check_files(read)
    return read


def _read(url: str, settings: StoreSettings) -> RedisUrl:
    parts = urlsplit(url)
    family, _, topology = parts.scheme.partition("-")
    _check(parts, topology)
    options = _options(url, family, topology)
    host = (options.pop("host", "localhost"), options.pop("port", 6379))
    if topology:
        hosts = tuple(_host(text, _DEFAULT_PORTS[topology]) for text in _authority(parts)[1])
    else:
        hosts = () if family == "unix" else (host,)
    connections = options.pop("max_connections", settings.connections)
    theirs = {name: options.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    options |= _shared(settings)
    _add_password_file(options, settings, url)
    return RedisUrl(
        shown=masked(url),
        topology=topology,
        hosts=hosts,
        service=unquote(parts.path.strip("/")) if topology == "sentinel" else "",
        connections=connections,
        connection_class=_CONNECTIONS[family],
        options=options,
        asking_options=_asking(options, theirs, family, topology),
    )


def _options(url: str, family: str, topology: str) -> dict[str, Any]:
    """As redis-py reads them, which knows no list of hosts."""
    if topology:
        parts = urlsplit(url)
        url = f"{family}://{_authority(parts)[0]}host/?{parts.query}"
    options: dict[str, Any] = parse_url(url)
    options.pop("connection_class", None)
    return options


def _authority(parts: SplitResult) -> tuple[str, list[str]]:
    """The user's part, with its ``@``, and the hosts."""
    user, at, hosts = parts.netloc.rpartition("@")
    return user + at, hosts.split(",")


def _host(text: str, default_port: int) -> Host:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path:
        raise ValueError("not a host")
    return parts.hostname, parts.port or default_port


def _shared(settings: StoreSettings) -> dict[str, Any]:
    return {
        "socket_timeout": settings.timeout_s,
        "socket_connect_timeout": settings.timeout_s,
        # They would stretch our timeouts, and let a connection with stale data be used again.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _asking(
    options: dict[str, Any], theirs: dict[str, str | None], family: str, topology: str
) -> dict[str, Any]:
    """Sentinels have users of their own; nodes of a cluster don't."""
    asking = {name: value for name, value in options.items() if name not in ("db", "path")}
    if topology == "sentinel":
        asking.pop("credential_provider", None)
        asking |= theirs
    # Half the time, so that where one is silent another one can still be asked.
    half_s = options["socket_timeout"] / 2
    asking |= {"socket_timeout": half_s, "socket_connect_timeout": half_s}
    if topology == "sentinel":
        asking["retry"] = Retry(NoBackoff(), 0)
    return asking | ({"ssl": True} if family == "rediss" else {})


def _add_password_file(options: dict[str, Any], settings: StoreSettings, url: str) -> None:
    if settings.password_file is None:
        return
    if options.get("password"):
        raise ConfigError(
            f"store URL {masked(url)!r} has a password, and so has {settings.password_file}: "
            "leave one of them out"
        )
    user = options.pop("username", None)
    options["credential_provider"] = PasswordFile(user, settings.password_file)


def _check(parts: SplitResult, topology: str) -> None:
    """ValueError for what redis-py would silently read otherwise than it is written."""
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


def _check_files(read: RedisUrl) -> None:
    for name in _FILES:
        path = read.options.get(name)
        if path is None:
            continue
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ConfigError(f"{read.shown}: can't read {name}={path}: {error.strerror}") from None
