"""How redis-py is to connect, as its keyword arguments."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from kvtransfer.errors import ConfigError
from kvtransfer.stores.redis.credentials import PasswordFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.stores.settings import StoreSettings

_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def in_url(url: str) -> dict[str, Any]:
    """What ``url`` says, as redis-py reads it."""
    options: dict[str, Any] = parse_url(url)
    options.pop("connection_class", None)
    return options


def keep_alive() -> dict[str, Any]:
    """For TCP: firewalls see traffic on an idle connection, and a dead peer is noticed in a minute."""
    names = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
    known = {
        getattr(socket, name): number for name, number in names.items() if hasattr(socket, name)
    }
    return {"socket_keepalive": True, "socket_keepalive_options": known}


def complete(options: dict[str, Any], settings: StoreSettings, shown: str) -> None:
    """Add to ``options`` of the URL ``shown`` what it leaves to ``settings``.

    Raises:
        ConfigError: both have a password.
    """
    options.setdefault("socket_timeout", settings.timeout_s)
    # They would stretch our timeouts, and let a connection with stale data be used again.
    options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    # To tell the library's name and version costs two round trips, of the first call's deadline.
    options["driver_info"] = None
    if settings.password_file is None:
        return
    if options.get("password"):
        raise ConfigError(
            f"store URL {shown!r} has a password, and so has {settings.password_file}: leave one "
            "of them out"
        )
    user = options.pop("username", None)
    options["credential_provider"] = PasswordFile(user, settings.password_file)


def for_asking(
    options: Mapping[str, Any], sentinels_user: Mapping[str, str | None] | None
) -> dict[str, Any]:
    """Of a client that asks where servers are; Sentinels have users of their own."""
    asking = {name: value for name, value in options.items() if name not in ("db", "path")}
    # Half the time, so that where one is silent another one can still be asked.
    half_s = options["socket_timeout"] / 2
    asking |= {"socket_timeout": half_s, "socket_connect_timeout": half_s}
    if sentinels_user is not None:
        asking.pop("credential_provider", None)
        asking |= {**sentinels_user, "retry": Retry(NoBackoff(), 0)}
    return asking


def check_files(options: Mapping[str, Any], shown: str) -> None:
    """ConfigError for a file that the URL ``shown`` names and nobody can read."""
    for name in _FILES:
        if (path := options.get(name)) is None:
            continue
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ConfigError(f"{shown}: can't read {name}={path}: {error.strerror}") from None
