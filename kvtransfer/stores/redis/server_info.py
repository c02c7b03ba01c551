"""Asks a server for its version and its memory limit, and measures how fast it answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import NoPermissionError, RedisError

from kvtransfer.errors import StoreError
from kvtransfer.stores.redis.commands import fields_of_info, refuse_errors
from kvtransfer.stores.redis.credentials import hidden
from kvtransfer.stores.redis.one_server import pool_of
from kvtransfer.stores.redis.url import read_url
from kvtransfer.stores.redis.wire.batch import Batch, command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kvtransfer.stores.settings import StoreSettings

    Execute = Callable[[Batch], list[object]]

_INFO = Batch([command(b"INFO", b"server"), command(b"INFO", b"memory")])
_PING = Batch([command(b"PING")])
_PINGS = 3


@dataclass(frozen=True)
class Server:
    """The server of a URL; in a cluster, one of them."""

    shown: str
    """Its URL without secrets."""
    info: Mapping[str, str]
    """The fields of INFO; empty where this user may not ask."""
    answer_s: float
    """The time that the fastest of a few PINGs took."""
    has_password: bool
    """Whether we send one."""

    @property
    def name(self) -> str:
        """Its product and version."""
        if "valkey_version" in self.info:
            return f"Valkey {self.info['valkey_version']}"
        return f"Redis {self.info.get('redis_version', 'of unknown version')}"

    @property
    def memory(self) -> str:
        """Its memory limit, and its policy when that is reached."""
        if "maxmemory" not in self.info:
            return "memory policy unknown"
        limit_mib = int(self.info["maxmemory"]) / 2**20
        limit = f"{limit_mib / 1024:.1f} GiB" if limit_mib >= 1024 else f"{limit_mib:.0f} MiB"
        limit = limit if limit_mib else "no limit of memory"
        return f"{limit}, {self.info.get('maxmemory_policy')}"


def ask_server(url: str, settings: StoreSettings) -> Server:
    """Ask the server at ``url`` over a connection of its own; takes a few times ``timeout_s`` at most.

    Raises:
        StoreError: it does not answer; the text holds no secret.
    """
    read = read_url(url, settings)
    pool = pool_of(read)

    def execute(batch: Batch) -> list[object]:
        return pool.execute(batch, time.monotonic() + read.timeout_s)

    try:
        info = fields_of_info(*execute(_INFO))
        answers_s = [_answer_s(execute) for _ in range(_PINGS)]
    except RedisError as error:
        cause = hidden(f"{type(error).__name__}: {error}", read.secrets())
        raise StoreError(cause) from None
    finally:
        pool.close()
    return Server(read.shown, info, min(answers_s), any(read.secrets()))


def _answer_s(execute: Execute) -> float:
    began_s = time.monotonic()
    (reply,) = execute(_PING)
    took_s = time.monotonic() - began_s
    require_answer(reply)
    return took_s


def require_answer(reply: object) -> None:
    """Raise ``reply`` if it is an error; that this user may not ask is an answer, too.

    Raises:
        RedisError: the server refuses us altogether.
    """
    if not isinstance(reply, NoPermissionError):
        refuse_errors([reply])
