"""redis-py's own clients, which ask where servers are, with replies bounded in time and size."""

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
    """For replies about servers, which may be longer."""

    limits = ABOUT_SERVERS

    def read_response(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """As above; of all errors, a ConnectionError makes redis-py ask the next server."""
        try:
            return super().read_response(*arguments, **options)
        except (InvalidResponse, OversizedReplyError) as error:
            raise ConnectionError(str(error)) from error


class Asking(StoreConnection):
    """Mixed into connections of redis-py's clients, which know no deadline of a reply as a whole."""

    parser_class = AskingParser

    def send_packed_command(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - redis-py's
        """See redis-py; the reply has the connection's timeout from here on."""
        super().send_packed_command(*arguments, **options)  # type: ignore[misc]
        if self._socket_timeout is not None:
            self._parser.read_buffer.begin(time.monotonic() + self._socket_timeout)


class AskingConnection(Asking, Connection):
    """TCP."""


class AskingSSLConnection(Asking, SSLConnection):
    """TLS."""


def asking(client: Redis) -> Redis:
    """``client`` with its replies bounded in time and size."""
    pool = client.connection_pool
    is_ssl = issubclass(pool.connection_class, SSLConnection)
    pool.connection_class = AskingSSLConnection if is_ssl else AskingConnection
    return client
