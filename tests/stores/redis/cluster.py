"""A Redis Cluster of three masters, the first with a replica."""

from __future__ import annotations

from contextlib import contextmanager, suppress

import redis
from redis.crc import key_slot

from kvtransfer.stores.embedded.address import free_port
from tests.stores.redis import page
from tests.stores.redis.servers import PASSWORD, Server, until

MASTERS = 3
SLOTS = 16384


class Cluster:
    """``servers``: three masters, and last a replica of the first.

    ``tls`` says for a port what there is to configure.
    """

    def __init__(self, binary, directory, tls=None):
        self.servers = []
        self._tls = tls
        self._binary = binary
        self._directory = directory

    def start(self):
        for _ in range(MASTERS + 1):
            self.servers.append(self._started())
        self._meet()

    @property
    def url(self):
        first, second = (f"127.0.0.1:{server.port}" for server in self.servers[:2])
        hosts = {"10.0.0.1:6379": first, "10.0.0.2:6379": second}
        return page.url("redis-cluster", {"kv:PASSWORD": f":{PASSWORD}"} | hosts)

    @property
    def tls_url(self):
        return f"rediss-cluster://:{PASSWORD}@127.0.0.1:{self.servers[1].tls_port}"

    def say(self, server, *words):
        with server.client() as client:
            return client.execute_command(*words)

    def masters_of(self, names):
        """For each of ``names`` the index of the server that serves its slot."""
        nodes = self.say(self.servers[1], "CLUSTER SLOTS")
        ports = [server.port for server in self.servers]
        slots = [key_slot(name.encode()) for name in names]
        owners = [next(owner for a, b, owner, *_ in nodes if a <= slot <= b) for slot in slots]
        return [ports.index(owner[1]) for owner in owners]

    def id_of(self, server):
        return self.say(server, "CLUSTER MYID").decode()

    def begin_move(self, slot, source, target):
        """From now on ``source`` sends who asks for an absent name of ``slot`` to ``target``."""
        self.say(target, "CLUSTER SETSLOT", slot, "IMPORTING", self.id_of(source))
        self.say(source, "CLUSTER SETSLOT", slot, "MIGRATING", self.id_of(target))

    def move_names(self, slot, source, target):
        while names := self.say(source, "CLUSTER GETKEYSINSLOT", slot, 10):
            where = ("127.0.0.1", target.port, "", 0, 5000, "AUTH", PASSWORD)
            self.say(source, "MIGRATE", *where, "KEYS", *names)

    def end_move(self, slot, source, target):
        new = self.id_of(target)
        for server in (target, source, *self.masters(source, target)):
            self.say(server, "CLUSTER SETSLOT", slot, "NODE", new)

    def masters(self, *but):
        return [server for server in self.servers[:MASTERS] if server not in but]

    def settle(self):
        """Wait until every server has the whole cluster in view, and all is well there."""
        until(lambda: all(self._knows_all(server) for server in self.servers))

    def flush(self):
        for server in self.masters():
            self.say(server, "FLUSHALL")

    def close(self):
        for server in self.servers:
            server.kill()

    def _started(self):
        bus, tls_port = free_port(), free_port()
        config = (
            *(self._tls(tls_port) if self._tls else ()),
            *page.block("cluster.conf", {"PASSWORD": PASSWORD}),
            f"cluster-port {bus}",
            f"cluster-config-file nodes-{bus}.conf",
            "cluster-allow-replica-migration no",
            "cluster-replica-validity-factor 0",
            "repl-diskless-sync-delay 0",
            "repl-ping-replica-period 1",  # until then the others do not count it
        )
        server = Server(self._binary, self._directory, *config)
        server.bus, server.tls_port = bus, tls_port
        return server

    def _meet(self):
        first = self.servers[0]
        for i, server in enumerate(self.servers):
            self.say(server, "CLUSTER SET-CONFIG-EPOCH", i + 1)
            if i < MASTERS:
                share = (i * SLOTS // MASTERS, (i + 1) * SLOTS // MASTERS - 1)
                self.say(server, "CLUSTER ADDSLOTSRANGE", *share)
            if server is not first:
                self.say(server, "CLUSTER MEET", "127.0.0.1", self._met_at(first), first.bus)
        self.settle()
        self.say(self.servers[-1], "CLUSTER REPLICATE", self.id_of(first))
        until(self._is_replicated)

    def _met_at(self, server):
        return server.tls_port if self._tls else server.port

    def _knows_all(self, server):
        info = self.say(server, "CLUSTER INFO")
        known, state = info["cluster_known_nodes"], info["cluster_state"]
        return (known, state) == (str(MASTERS + 1), "ok")

    def _is_replicated(self):
        with self.servers[-1].client() as client:
            linked = client.info("replication").get("master_link_status") == "up"
        known = self.say(self.servers[1], "CLUSTER SLOTS")
        return linked and any(len(owners) > 1 for _, _, *owners in known)


@contextmanager
def running(binary, directory, tls=None):
    cluster = Cluster(binary, directory, tls)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@contextmanager
def client_of(cluster):
    client = redis.RedisCluster(host="127.0.0.1", port=cluster.servers[1].port, password=PASSWORD)
    try:
        yield client
    finally:
        with suppress(redis.RedisError):
            client.close()
