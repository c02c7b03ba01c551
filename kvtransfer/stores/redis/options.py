"""Computes the keyword arguments with which redis-py connects."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from kvtransfer.errors import ConfigError
from kvtransfer.stores.redis.password_source import password_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.stores.settings import StoreSettings

_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def in_url(url: str) -> dict[str, Any]:
    """Read the options in ``url`` as redis-py does."""
    options: dict[str, Any] = parse_url(url)
    options.pop("connection_class", None)
    return options


def keep_alive() -> dict[str, Any]:
    """Return the options that keep TCP connections alive.

    Firewalls then see traffic on an idle connection, and a dead peer is noticed within a minute.
    """
    names = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
    known = {
        getattr(socket, name): number for name, number in names.items() if hasattr(socket, name)
    }
    return {"socket_keepalive": True, "socket_keepalive_options": known}


def complete(options: dict[str, Any], settings: StoreSettings, shown: str) -> None:
    """Add ``settings`` to ``options``, those of the URL ``shown``, where the URL doesn't set them.

    Raises:
        ConfigError: more than one of them has a password.
    """
    options.setdefault("socket_timeout", settings.timeout_s)
    # These notices stretch timeouts, and let a connection with stale data be used again.
    options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    # Telling the library's name and version takes two round trips of the first call's deadline.
    options["driver_info"] = None
    named = [*settings.password_sources, *(["the URL"] if options.get("password") else [])]
    if len(named) > 1:
        raise ConfigError(
            f"store URL {shown!r}: {' and '.join(named)} both give a password: leave one of them out"
        )
    if settings.password_sources:
        user = options.pop("username", None)
        options["credential_provider"] = password_source(user, settings)


def for_asking(
    options: Mapping[str, Any], sentinels_user: Mapping[str, str | None] | None
) -> dict[str, Any]:
    """Return the options of a redis-py client that asks where the servers are.

    ``sentinels_user`` is the user and password for Sentinels, which differ from the servers'; None
    where a cluster's nodes are asked.
    """
    asking = {name: value for name, value in options.items() if name not in ("db", "path")}
    # Half the time: where one server is silent, another one can still be asked.
    half_s = options["socket_timeout"] / 2
    asking |= {"socket_timeout": half_s, "socket_connect_timeout": half_s}
    if sentinels_user is not None:
        asking.pop("credential_provider", None)
        asking |= {**sentinels_user, "retry": Retry(NoBackoff(), 0)}
    return asking


def check_files(options: Mapping[str, Any], shown: str) -> None:
    """Check that the files that the URL ``shown`` names can be read.

    Raises:
        ConfigError: one of them can't be.
    """
    for name in _FILES:
        if (path := options.get(name)) is None:
            continue
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ConfigError(f"{shown}: can't read {name}={path}: {error.strerror}") from None
