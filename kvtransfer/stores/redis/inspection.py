"""Asks a server everything that tells whether it is set up well; nothing on it is changed."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import RedisError, ResponseError

from kvtransfer.errors import StoreError
from kvtransfer.stores.redis.causes import told
from kvtransfer.stores.redis.commands import fields_of_info
from kvtransfer.stores.redis.one_server import pool_of
from kvtransfer.stores.redis.server_info import require_answer
from kvtransfer.stores.redis.url import read_url
from kvtransfer.stores.redis.wire.batch import Batch, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.stores.redis.url import RedisUrl
    from kvtransfer.stores.settings import StoreSettings

_ASKED = (
    "save",
    "appendonly",
    "client-output-buffer-limit",
    "min-replicas-to-write",
    "proto-max-bulk-len",
    "timeout",
    "cluster-require-full-coverage",
)
_PINGS = 5


@dataclass(frozen=True)
class Inspection:
    """What a server says of itself; of a cluster, its first node."""

    info: dict[str, str]
    """The fields of INFO; empty where this user may not ask."""
    config: dict[str, str]
    """Some of its settings; empty where this user may not ask, as at managed services."""
    cluster: dict[str, str]
    """The fields of CLUSTER INFO; empty elsewhere."""
    answer_s: float
    """The time that the fastest of a few PINGs took."""
    ahead_s: float | None
    """How far its clock is ahead of ours; None: it doesn't tell the time."""
    certificate_ends: float | None
    """When its TLS certificate ends, in seconds since 1970; None without TLS."""
    verifies_tls: bool
    """Whether we check with whom we speak; True without TLS."""


def inspect(url: str, settings: StoreSettings) -> Inspection:
    """Ask the server at ``url`` over connections of its own; a few times ``timeout_s`` at most.

    Raises:
        ConfigError: the URL is malformed.
        StoreError: it does not answer, or knows neither user nor password.
    """
    read = read_url(url, settings)
    pool = pool_of(read)

    def ask(*words: str) -> object:
        batch = Batch([command(*(word.encode() for word in words))])
        return pool.execute(batch, time.monotonic() + read.timeout_s)[0]

    try:
        answers_s = [_timed(lambda: ask("PING")) for _ in range(_PINGS)]
        settings_found = {name: _setting(ask("CONFIG", "GET", name)) for name in _ASKED}
        info = fields_of_info(ask("INFO"))
        is_cluster = info.get("cluster_enabled") == "1"
        return Inspection(
            info=info,
            config={name: value for name, value in settings_found.items() if value is not None},
            cluster=fields_of_info(ask("CLUSTER", "INFO")) if is_cluster else {},
            answer_s=min(answers_s),
            ahead_s=_ahead_s(ask("TIME")),
            certificate_ends=_certificate_ends(read),
            verifies_tls=read.options.get("ssl_cert_reqs", "required")
            not in ("none", ssl.CERT_NONE),
        )
    except RedisError as error:
        raise StoreError(told(error, read)) from None
    finally:
        pool.close()


def refusal_of_scripts(url: str, settings: StoreSettings) -> str:
    """Ask the server at ``url`` to run a script that does nothing; return why it doesn't, if so.

    Raises:
        ConfigError: the URL is malformed.
        StoreError: it does not answer, or knows neither user nor password.
    """
    read = read_url(url, settings)
    pool = pool_of(read)
    try:
        asked = Batch([command(b"EVAL", b"return 1", b"0")])
        (reply,) = pool.execute(asked, time.monotonic() + read.timeout_s)
    except RedisError as error:
        raise StoreError(told(error, read)) from None
    finally:
        pool.close()
    return told(reply, read) if isinstance(reply, ResponseError) else ""


def _timed(call: Callable[[], object]) -> float:
    began_s = time.monotonic()
    require_answer(call())
    return time.monotonic() - began_s


def _setting(reply: object) -> str | None:
    """Return the value in the reply to CONFIG GET of one name; None for anything else."""
    if isinstance(reply, dict):
        reply = [part for pair in reply.items() for part in pair]
    if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], bytes):
        return reply[1].decode(errors="replace")
    return None


def _ahead_s(reply: object) -> float | None:
    if not isinstance(reply, list) or len(reply) != 2:
        return None
    try:
        return int(reply[0]) + int(reply[1]) / 1e6 - time.time()
    except ValueError:
        return None


def _certificate_ends(read: RedisUrl) -> float | None:
    """Connect once more, and read when the certificate of the first host ends."""
    if not read.shown.startswith("rediss"):
        return None
    connection = read.open_connection(read.hosts[0] if read.hosts else None)
    try:
        connection.connect()
        sock = connection.sock
        found = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
    finally:
        connection.disconnect()
    return ssl.cert_time_to_seconds(str(found["notAfter"])) if found else None
