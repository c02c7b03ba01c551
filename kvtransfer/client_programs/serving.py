"""Serves the calls of the process that started this one, with whatever client it has joined.

Standard input is a socket of whole messages. The first one holds the client's settings as JSON;
each later one carries two file descriptors, the socket and the memory of one channel. A channel has
a thread, which answers one call at a time: a line of JSON in each direction. The process ends when
its standard input does.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import socket
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MESSAGE_BYTES = 1 << 16


class ChannelClient(Protocol):
    """Executes calls of one channel, whose thread is the only one that uses it."""

    def answer(self, request: Mapping[str, Any]) -> object:
        """Execute the call that ``request`` names as ``call``, and return what JSON can hold."""
        ...

    def close(self) -> None:
        """Let go of the channel's memory."""
        ...


class JoinedClient(Protocol):
    """A client that has joined its store."""

    def open_channel(self, address: int, nbytes: int) -> ChannelClient:
        """Serve a channel whose memory is ``nbytes`` at ``address``."""
        ...

    def close(self) -> None:
        """Leave the store."""
        ...


def serve(join: Callable[[Mapping[str, Any]], JoinedClient]) -> None:
    """Join the store with the settings that come first, and serve channels until the end of input.

    ``join`` raises ``ImportError`` or ``OSError`` where it can't; the other side is told why. This
    doesn't return: threads that a client keeps waiting would keep the process alive.
    """
    control = socket.socket(fileno=0)
    try:
        client = join(json.loads(control.recv(_MESSAGE_BYTES)))
    except (ImportError, OSError) as error:
        control.send(str(error).encode()[:_MESSAGE_BYTES])
        raise
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not message:
            break
        Thread(target=_serve_channel, args=(client, *descriptors), daemon=True).start()
    client.close()
    os._exit(0)


def _serve_channel(client: JoinedClient, socket_fd: int, memory_fd: int) -> None:
    with socket.socket(fileno=socket_fd) as line:
        memory = mmap.mmap(memory_fd, 0)
        os.close(memory_fd)
        # The client knows an address, so the memory stays mapped as long as this is referred to.
        first = ctypes.c_char.from_buffer(memory)
        calls = client.open_channel(ctypes.addressof(first), len(memory))
        try:
            for request in line.makefile("rb"):
                line.sendall(json.dumps(calls.answer(json.loads(request))).encode() + b"\n")
        except OSError:
            pass  # the other side has given the channel up
        finally:
            calls.close()
