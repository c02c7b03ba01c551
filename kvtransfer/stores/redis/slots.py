"""Which node of a cluster holds a name: the slot map is redis-py's, the redirections are ours."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.cluster import ClusterNode, NodesManager
from redis.crc import key_slot
from redis.exceptions import (
    ConnectionError,
    MovedError,
    RedisClusterException,
    RedisError,
    SlotNotCoveredError,
    TimeoutError,
)

from kvtransfer.stores.redis.halves import AskingLine, redirection
from kvtransfer.stores.redis.latest import Latest
from kvtransfer.stores.redis.topology import read_slots
from kvtransfer.stores.redis.wire.asking import asking
from kvtransfer.stores.redis.wire.node import GuardedNode, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis import Redis
    from redis.exceptions import AskError

    from kvtransfer.stores.redis.sliced import Line
    from kvtransfer.stores.redis.url import Host, RedisUrl

    Talk = Callable[[Line], list[object]]

_REDIRECTIONS = 5


class Place(NamedTuple):
    """Where to ask for a name."""

    host: str
    port: int
    asking: bool = False
    """Its slot is just moving there: each command needs ASKING before it."""


class _Nodes(NodesManager):
    """redis-py's slot map, from replies that are bounded and checked."""

    def create_redis_node(self, *arguments: Any, **options: Any) -> Redis:  # noqa: ANN401 - redis-py's
        """See redis-py."""
        node = asking(super().create_redis_node(*arguments, **options))
        node.set_response_callback("CLUSTER SLOTS", read_slots)
        return node


class Slots:
    """The nodes of a cluster, each asked for the names in its slots."""

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._manager: NodesManager | None = None
        self._map: Latest[NodesManager] = Latest(self._ask)
        self._lock = Lock()
        self._nodes: dict[Host, GuardedNode] = {}

    def wait(self, deadline_s: float) -> None:
        """Until it is known which nodes there are."""
        self._map.get(deadline_s)

    def by_place(self, names: Iterable[bytes], deadline_s: float) -> dict[Place, list[bytes]]:
        """``names`` by where they are; without those whose slots nobody serves."""
        manager = self._map.get(deadline_s)
        places: dict[Place, list[bytes]] = {}
        for name in names:
            with suppress(ConnectionError):
                places.setdefault(self._place(manager, name), []).append(name)
        return places

    def exchange(self, name: bytes, talk: Talk, deadline_s: float) -> list[object]:
        """``talk`` with the node that holds ``name``, wherever that has moved."""
        place = self._place(self._map.get(deadline_s), name)
        for _ in range(_REDIRECTIONS):
            replies = self.exchange_at(place, talk, deadline_s)
            moved = redirection(replies)
            if moved is None:
                return replies
            place = self.follow(moved, place)
        raise ConnectionError(f"redirected {_REDIRECTIONS} times")

    def exchange_at(self, place: Place, talk: Talk, deadline_s: float) -> list[object]:
        """``talk`` with the node at ``place``; a redirection is among the replies."""
        said = (lambda wire: talk(AskingLine(wire))) if place.asking else talk
        try:
            return self._node(place).exchange(said, deadline_s)
        except (ConnectionError, TimeoutError):
            self._map.renew()
            raise

    def follow(self, moved: AskError, place: Place) -> Place:
        """Where we were sent from ``place``."""
        host = moved.host or place.host
        if not isinstance(moved, MovedError):
            return Place(host, moved.port, asking=True)
        self._map.renew()  # where one slot has moved, others have too
        if moved.host and self._manager is not None:
            with suppress(KeyError):  # nobody serves the slot, as another answer says by now
                self._manager.move_slot(moved)
        return Place(host, moved.port)

    @property
    def are_far(self) -> bool:
        """Whether any node is far away."""
        with self._lock:
            return any(node.is_far for node in self._nodes.values())

    def nodes_left_alone(self) -> int:
        """Those that failed several times in a row."""
        with self._lock:
            return sum(node.is_left_alone for node in self._nodes.values())

    def close(self) -> None:
        """Close every connection."""
        self._map.close()
        if self._manager is not None:
            self._manager.close()
        for node in self._nodes.values():
            node.close()

    def _place(self, manager: NodesManager, name: bytes) -> Place:
        try:
            node = manager.get_node_from_slot(key_slot(name))
        except SlotNotCoveredError:
            self._map.renew()
            raise ConnectionError("nobody serves its slot") from None
        return Place(node.host, node.port)

    def _node(self, place: Place) -> GuardedNode:
        host = (place.host, place.port)
        with self._lock:
            if host not in self._nodes:
                opened = partial(self._url.open_connection, host)
                self._nodes[host] = GuardedNode(Node(opened, self._url.connections))
            return self._nodes[host]

    def _ask(self) -> NodesManager:
        try:
            self._manager = self._renewed(self._manager)
        except RedisError:
            raise
        except RedisClusterException as error:  # which is no RedisError
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
