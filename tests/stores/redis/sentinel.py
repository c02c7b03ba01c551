"""A master, a replica and three Sentinels that watch over them."""

from __future__ import annotations

from contextlib import contextmanager

import redis

from kvtransfer.stores.embedded.address import LoopbackPort, free_port
from kvtransfer.stores.embedded.process import ServerProcess
from tests.stores.redis import page
from tests.stores.redis.servers import PASSWORD, Server, until

SENTINEL_PASSWORD = "s3ntinel"
SERVICE = "mymaster"


class Stack:
    """``master`` and ``replica`` as they were at the start.

    ``tls`` says for a port what there is to configure; then all talk TLS to each other.
    """

    def __init__(self, binary, directory, tls=None):
        self._tls = tls
        self._binary = binary
        self._directory = directory
        self.sentinels = []
        self._servers = []

    @property
    def url(self):
        hosts = {
            f"10.0.0.{i + 1}:26379": f"127.0.0.1:{sentinel.port}"
            for i, sentinel in enumerate(self.sentinels)
        }
        words = {"kv:PASSWORD": f":{PASSWORD}", "SENTINEL_PASSWORD": SENTINEL_PASSWORD}
        return page.url("redis-sentinel", hosts | words)

    @property
    def tls_url(self):
        hosts = ",".join(f"127.0.0.1:{sentinel.tls_port}" for sentinel in self.sentinels)
        own = f"sentinel_password={SENTINEL_PASSWORD}"
        return f"rediss-sentinel://:{PASSWORD}@{hosts}/{SERVICE}?{own}"

    def start(self):
        common = (f"masterauth {PASSWORD}", "repl-diskless-sync-delay 0")
        self.master = self._server(*common)
        self.replica = self._server(*common, f"replicaof 127.0.0.1 {self.master.known_port}")
        until(lambda: self._replication(self.replica)["master_link_status"] == "up")
        for i in range(3):
            self.sentinels.append(self._sentinel(i))
        until(lambda: all(self._knows_all(sentinel) for sentinel in self.sentinels))

    def ask(self, sentinel, *words):
        with redis.Redis(port=sentinel.port, password=SENTINEL_PASSWORD, protocol=2) as client:
            return client.execute_command(*words)

    def failover(self):
        """As an operator does it; the old master becomes the new one's replica."""
        self.ask(self.sentinels[0], "SENTINEL FAILOVER", SERVICE)

    def current_master(self):
        """The server that Sentinel names now."""
        _, port = self.ask(self.sentinels[0], "SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(server for server in self._servers if server.known_port == int(port))

    def close(self):
        for sentinel in self.sentinels:
            sentinel.end()
        for server in self._servers:
            server.kill()

    def _server(self, *config):
        tls_port = free_port()
        server = Server(self._binary, self._directory, *config, *self._tls_lines(tls_port))
        server.known_port = tls_port if self._tls else server.port
        self._servers.append(server)
        return server

    def _sentinel(self, i):
        path, port, tls_port = self._directory / f"sentinel-{i}.conf", free_port(), free_port()
        changes = {
            "port 26379": f"port {port}",
            "10.0.0.1 6379": f"127.0.0.1 {self.master.known_port}",
            "SENTINEL_PASSWORD": SENTINEL_PASSWORD,
            "PASSWORD": PASSWORD,
        }
        lines = ["bind 127.0.0.1", f"dir {self._directory}", *self._tls_lines(tls_port)]
        lines += page.block("sentinel.conf", changes)
        path.write_text("\n".join((*lines, "")))
        arguments = (str(path), "--sentinel")
        sentinel = ServerProcess(self._binary, LoopbackPort(port), "", arguments=arguments)
        if not sentinel.answers(SENTINEL_PASSWORD):
            sentinel.end()
            raise AssertionError(f"no Sentinel: {sentinel.last_words}")
        sentinel.port, sentinel.tls_port = port, tls_port
        return sentinel

    def _tls_lines(self, port):
        return ["tls-replication yes", *self._tls(port)] if self._tls else []

    def _replication(self, server):
        with server.client() as client:
            return client.info("replication")

    def _knows_all(self, sentinel):
        state = self.ask(sentinel, "SENTINEL MASTER", SERVICE)
        return (state["num-slaves"], state["num-other-sentinels"]) == (1, 2)


@contextmanager
def running(binary, directory, tls=None):
    stack = Stack(binary, directory, tls)
    try:
        stack.start()
        yield stack
    finally:
        stack.close()
