"""Finds the node that holds a name, by redis-py's map of hash slots, and follows redirections."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.cluster import ClusterNode, NodesManager
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ConnectionError,
    MovedError,
    RedisClusterException,
    RedisError,
    SlotNotCoveredError,
    TimeoutError,
)

from kvtransfer.stores.redis.commands import fields_of_info, info
from kvtransfer.stores.redis.listing import listed, payload_pages
from kvtransfer.stores.redis.nodes.topology import read_slots
from kvtransfer.stores.redis.nodes.topology_cache import TopologyCache
from kvtransfer.stores.redis.wire.asking import asking
from kvtransfer.stores.redis.wire.batch import AskingBatch, Batch
from kvtransfer.stores.redis.wire.guarded_pool import GuardedPool
from kvtransfer.stores.redis.wire.pool import ConnectionPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from redis import Redis

    from kvtransfer.stores.redis.url import Host, RedisUrl

    _Execute = Callable[[Batch], list[object]]

_REDIRECTIONS = 5


class NodeAddress(NamedTuple):
    """The address of a node that is asked for a name."""

    host: str
    port: int
    asking: bool = False
    """Whether the hash slot is moving there now, so that each command needs ASKING before it."""


class _Nodes(NodesManager):
    """redis-py's map of hash slots, made from replies that are bounded and checked."""

    def create_redis_node(self, *arguments: Any, **options: Any) -> Redis:  # noqa: ANN401 - redis-py's
        """See redis-py."""
        node = asking(super().create_redis_node(*arguments, **options))
        node.set_response_callback("CLUSTER SLOTS", read_slots)
        return node


class ClusterNodes:
    """The nodes of a cluster, each with connections and a circuit breaker; safe to use from threads.

    Deadlines are by ``time.monotonic``. Methods raise ``RedisError`` for a node that doesn't answer.
    """

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._manager: NodesManager | None = None
        self._map: TopologyCache[NodesManager] = TopologyCache(self._ask)
        self._lock = Lock()
        self._pools: dict[Host, GuardedPool] = {}

    def wait(self, deadline_s: float) -> None:
        """Wait until the map of hash slots is known."""
        self._map.get(deadline_s)

    def by_address(
        self, names: Iterable[bytes], deadline_s: float
    ) -> dict[NodeAddress, list[bytes]]:
        """Group ``names`` by the node that holds them; leave out those whose slot no node serves."""
        manager = self._map.get(deadline_s)
        addresses: dict[NodeAddress, list[bytes]] = {}
        for name in names:
            with suppress(ConnectionError):
                addresses.setdefault(self._address(manager, name), []).append(name)
        return addresses

    def execute(self, name: bytes, batch: Batch, deadline_s: float) -> list[object]:
        """Execute ``batch`` on the node that holds ``name``, and follow redirections."""
        address = self._address(self._map.get(deadline_s), name)
        for _ in range(_REDIRECTIONS):
            replies = self.execute_at(address, batch, deadline_s)
            moved = _redirection(replies)
            if moved is None:
                return replies
            address = self.follow(moved, address)
        raise ConnectionError(f"redirected {_REDIRECTIONS} times")

    def execute_at(self, address: NodeAddress, batch: Batch, deadline_s: float) -> list[object]:
        """Execute ``batch`` on the node at ``address``; a redirection is one of the replies."""
        sent = AskingBatch(batch.commands, batch.value) if address.asking else batch
        try:
            return self._pool(address).execute(sent, deadline_s)
        except (ConnectionError, TimeoutError):
            self._map.renew()
            raise

    def records(self, begin: Callable[[], float]) -> Iterator[tuple[bytes, Mapping[str, str]]]:
        """Yield name and fields of the hashes on all masters; ``begin`` returns each call's deadline."""
        for _, execute in self._masters(begin):
            yield from listed(execute)

    def payloads(self, begin: Callable[[], float]) -> Iterator[list[str]]:
        """Yield the base keys of payloads on all masters, some at a time."""
        for _, execute in self._masters(begin):
            yield from payload_pages(execute)

    def infos(self, begin: Callable[[], float]) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Yield host and port of each master, and its fields of INFO."""
        for address, execute in self._masters(begin):
            replies = execute(Batch([info()]))
            yield f"{address.host}:{address.port}", fields_of_info(*replies)

    def _masters(self, begin: Callable[[], float]) -> Iterator[tuple[NodeAddress, _Execute]]:
        """Yield each master, and what executes a batch on it."""
        manager = self._map.get(begin())
        for node in manager.get_nodes_by_server_type("primary"):
            address = NodeAddress(node.host, node.port)
            yield address, partial(self._execute_in_time, address, begin)

    def _execute_in_time(
        self, address: NodeAddress, begin: Callable[[], float], batch: Batch
    ) -> list[object]:
        return self.execute_at(address, batch, begin())

    def follow(self, moved: AskError, address: NodeAddress) -> NodeAddress:
        """Return the address to which the node at ``address`` has redirected us."""
        host = moved.host or address.host
        if not isinstance(moved, MovedError):
            return NodeAddress(host, moved.port, asking=True)
        self._map.renew()  # where one slot has moved, others have moved too
        if moved.host and self._manager is not None:
            with suppress(KeyError):  # a newer answer says that no node serves the slot
                self._manager.move_slot(moved)
        return NodeAddress(host, moved.port)

    @property
    def are_far(self) -> bool:
        """Whether any node is far away."""
        with self._lock:
            return any(pool.is_far for pool in self._pools.values())

    def open_breakers(self) -> int:
        """Count the nodes whose circuit breaker is open."""
        with self._lock:
            return sum(pool.is_open for pool in self._pools.values())

    def close(self) -> None:
        """Close every connection."""
        self._map.close()
        if self._manager is not None:
            self._manager.close()
        for pool in self._pools.values():
            pool.close()

    def _address(self, manager: NodesManager, name: bytes) -> NodeAddress:
        try:
            node = manager.get_node_from_slot(key_slot(name))
        except SlotNotCoveredError:
            self._map.renew()
            raise ConnectionError("no node serves its slot") from None
        return NodeAddress(node.host, node.port)

    def _pool(self, address: NodeAddress) -> GuardedPool:
        host = (address.host, address.port)
        with self._lock:
            if host not in self._pools:
                opened = partial(self._url.open_connection, host)
                self._pools[host] = GuardedPool(ConnectionPool(opened, self._url.connections))
            return self._pools[host]

    def _ask(self) -> NodesManager:
        try:
            self._manager = self._renewed(self._manager)
        except RedisError:
            raise
        except RedisClusterException as error:  # not a RedisError
            raise ConnectionError(str(error)) from None
        except LookupError:
            raise ConnectionError("none of its nodes has slots") from None
        except Exception as error:
            raise ConnectionError("what its nodes say of each other makes no sense") from error
        return self._manager

    def _renewed(self, manager: NodesManager | None) -> NodesManager:
        if manager is None:
            return _Nodes(
                [ClusterNode(*host) for host in self._url.hosts],
                dynamic_startup_nodes=False,  # the URL's names outlive any node's address
                **self._url.asking_options,
            )
        known = [(node.host, node.port) for node in manager.nodes_cache.values()]
        manager.initialize(additional_startup_nodes_info=known)
        return manager


def _redirection(replies: Sequence[object]) -> AskError | None:
    """Return the first redirection in ``replies``; MOVED is an ``AskError`` in redis-py, too."""
    return next((reply for reply in replies if isinstance(reply, AskError)), None)
