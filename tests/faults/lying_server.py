"""A server that greets politely, if told to, and then says what it is told."""

from __future__ import annotations

import socketserver
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

GREETING = b"%1\r\n+proto\r\n:3\r\n"


class LyingServer(socketserver.ThreadingTCPServer):
    """``answer`` gives what is sent for what has arrived; afterwards the connection is closed."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Liar)
        self.answer = answer
        self.greets = True
        self.port = self.server_address[1]
        self._thread = Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """The client has gone: that's its right."""


class _Liar(socketserver.BaseRequestHandler):
    server: LyingServer

    def handle(self) -> None:
        while asked := self.request.recv(1 << 16):
            if self.server.greets and b"HELLO" in asked:
                self.request.sendall(GREETING)
                continue
            self.request.sendall(self.server.answer(asked))
            return
