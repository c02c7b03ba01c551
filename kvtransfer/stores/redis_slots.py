"""Which node of a cluster holds a name: the slot map is redis-py's, the redirections are ours."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from redis.cluster import ClusterNode, NodesManager
from redis.crc import key_slot
from redis.exceptions import (
    ConnectionError,
    MovedError,
    RedisError,
    SlotNotCoveredError,
    TimeoutError,
)

from kvtransfer.stores.breaker import Breaker
from kvtransfer.stores.redis_halves import AskingLine, redirection
from kvtransfer.stores.redis_latest import Latest
from kvtransfer.stores.redis_node import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis.exceptions import AskError

    from kvtransfer.stores.redis_halves import Line
    from kvtransfer.stores.redis_url import Host, RedisUrl
    from kvtransfer.stores.redis_wire import Wire

    Talk = Callable[[Line], list[object]]

T = TypeVar("T")

_REDIRECTIONS = 5
# A replica takes over within seconds, and to notice that shouldn't take much longer.
_LONGEST_REST_S = 1.0


class Place(NamedTuple):
    """Where to ask for a name."""

    host: str
    port: int
    asking: bool = False
    """Its slot is just moving there: each command needs ASKING before it."""


class NodeDownError(ConnectionError):
    """A node that failed several times in a row is left alone for a while."""


class GuardedNode:
    """``node``, not asked for a while after several failures in a row."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._breaker = Breaker(longest_rest_s=_LONGEST_REST_S)
        self._lock = Lock()

    def exchange(self, talk: Callable[[Wire], T], deadline_s: float) -> T:
        """See :class:`Node`.

        Raises:
            NodeDownError: at once, while it is left alone.
        """
        with self._lock:
            if not self._breaker.allows(time.monotonic()):
                raise NodeDownError("left alone after failures in a row")
        try:
            answer = self._node.exchange(talk, deadline_s)
        except (ConnectionError, TimeoutError):
            with self._lock:
                self._breaker.failed(time.monotonic())
            raise
        except RedisError:
            self._succeeded()
            raise
        self._succeeded()
        return answer

    def close(self) -> None:
        """See :class:`Node`."""
        self._node.close()

    def _succeeded(self) -> None:
        with self._lock:
            self._breaker.succeeded()


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
            with suppress(SlotNotCoveredError):
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
            raise
        return Place(node.host, node.port)

    def _node(self, place: Place) -> GuardedNode:
        host = (place.host, place.port)
        with self._lock:
            if host not in self._nodes:
                opened = partial(self._url.open_connection, host)
                self._nodes[host] = GuardedNode(Node(opened, self._url.connections))
            return self._nodes[host]

    def _ask(self) -> NodesManager:
        if self._manager is None:
            self._manager = NodesManager(
                [ClusterNode(*host) for host in self._url.hosts],
                dynamic_startup_nodes=False,  # the URL's names outlive any node's address
                **self._url.asking_options,
            )
        else:
            known = [(node.host, node.port) for node in self._manager.nodes_cache.values()]
            self._manager.initialize(additional_startup_nodes_info=known)
        return self._manager
