"""Explains why a server refuses us, and what its operator can change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from redis.exceptions import TimeoutError

from kvtransfer.stores.redis.credentials import hidden

if TYPE_CHECKING:
    from kvtransfer.stores.redis.url import RedisUrl

_NO_PASSWORD = (
    "it wants a password and was given none; write one into the URL (redis://:PASSWORD@host), or "
    "set remote_password_file"
)
_SAID_AND_MEANT = (
    (r"HELLO must be called with the client already authenticated.*at the same time", _NO_PASSWORD),
    (r"Authentication required\.?", _NO_PASSWORD),
    (
        r"invalid username-password pair or user is disabled\.?",
        "it knows no such user and password; mend those in the URL, or in remote_password_file",
    ),
    (
        r"command not allowed when used memory > 'maxmemory'\.?",
        "it is full and evicts nothing; set its maxmemory-policy to allkeys-lru, or raise its "
        "maxmemory",
    ),
    (
        r"(?:this user|User \S+) has no permissions to run the '([^']+)' command.*",
        r"this user may not run the command \1; allow it in the server's ACL",
    ),
    (
        r"You can't write against a read only (?:replica|slave)\.?",
        "it is a replica, which takes no writes; name its master, or use redis-sentinel://",
    ),
    (
        r"Keys in request don't hash to the same slot",
        "it is a cluster's node, or a proxy for several shards; write redis-cluster://",
    ),
    (
        r"Redis Cluster cannot be connected.*Cluster mode is not enabled.*",
        "Cluster mode is not enabled there; write redis:// instead of redis-cluster://",
    ),
)
_PLAIN_PORT = "; if this port has no TLS, write redis:// instead of rediss://"


def cause_of(error: Exception, shown_url: str) -> str:
    """Say the kind of ``error`` and its cause; ``shown_url`` is the store's URL without secrets."""
    text = str(error)
    for said, meant in _SAID_AND_MEANT:
        text = re.sub(said, meant, text)
    # A server without TLS takes the TLS greeting for a command, and waits for its end.
    is_silent = isinstance(error, TimeoutError) and shown_url.startswith("rediss")
    return f"{type(error).__name__}: {text}{_PLAIN_PORT if is_silent else ''}"


def told(error: Exception, url: RedisUrl) -> str:
    """Say ``error`` for a message: with the address of the store, and without secrets."""
    return f"{url.shown}: {hidden(cause_of(error, url.shown), url.secrets())}"
