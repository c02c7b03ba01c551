"""Bounds the replies, in time and size, that redis-py's own clients get about servers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError, InvalidResponse

from kvtransfer.stores.redis.wire.connection import StoreConnection
from kvtransfer.stores.redis.wire.limits import ABOUT_SERVERS, OversizedReplyError
from kvtransfer.stores.redis.wire.parser import ReplyParser

if TYPE_CHECKING:
    from redis import Redis


class AskingParser(ReplyParser):
    """Parses replies about servers, which may be longer."""

    limits = ABOUT_SERVERS

    def read_response(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """See redis-py; raises ConnectionError, which makes redis-py ask the next server."""
        try:
            return super().read_response(*arguments, **options)
        except (InvalidResponse, OversizedReplyError) as error:
            raise ConnectionError(str(error)) from error


class Asking(StoreConnection):
    """Mixed into the connections of redis-py's clients: gives each reply one deadline."""

    parser_class = AskingParser

    def send_packed_command(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - redis-py's
        """See redis-py; the reply has to arrive within the connection's timeout from now on."""
        super().send_packed_command(*arguments, **options)  # type: ignore[misc]
        if self._socket_timeout is not None:
            self._parser.read_buffer.begin(time.monotonic() + self._socket_timeout)


class AskingConnection(Asking, Connection):
    """Asks over TCP."""


class AskingSSLConnection(Asking, SSLConnection):
    """Asks over TLS."""


def asking(client: Redis) -> Redis:
    """Bound the replies of ``client`` in time and size, and return it."""
    pool = client.connection_pool
    is_ssl = issubclass(pool.connection_class, SSLConnection)
    pool.connection_class = AskingSSLConnection if is_ssl else AskingConnection
    return client
