"""Asks a cluster which names it holds: one batch for each node, all nodes at once."""

from __future__ import annotations

import time
from concurrent.futures import wait
from functools import partial
from typing import TYPE_CHECKING

from redis.exceptions import AskError, RedisError, TimeoutError

from kvtransfer.stores.redis.commands import exists
from kvtransfer.stores.redis.wire.batch import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from kvtransfer.stores.redis.nodes.cluster_nodes import ClusterNodes, NodeAddress

_REDIRECTIONS = 3


def present(
    nodes: ClusterNodes, threads: Executor, names: Sequence[bytes], deadline_s: float
) -> set[bytes]:
    """Return the ``names`` that are there; a node that fails holds none.

    Raises:
        RedisError: no node that was asked has answered.
    """
    ask = partial(_present_at, nodes, deadline_s, _REDIRECTIONS)
    asked = [threads.submit(ask, *each) for each in nodes.by_address(names, deadline_s).items()]
    answered, _ = wait(asked, timeout=max(deadline_s - time.monotonic(), 0))
    answers = [each.result() for each in answered]
    there = [answer for answer in answers if isinstance(answer, set)]
    if asked and not there:
        errors = [answer for answer in answers if isinstance(answer, RedisError)]
        raise errors[0] if errors else TimeoutError("no node has answered in time")
    return set().union(*there)


def _present_at(
    nodes: ClusterNodes,
    deadline_s: float,
    redirections: int,
    address: NodeAddress,
    names: Sequence[bytes],
) -> set[bytes] | RedisError:
    try:
        replies = nodes.execute_at(address, Batch(exists(names)), deadline_s)
    except RedisError as error:
        return error
    there: set[bytes] = set()
    moved: dict[NodeAddress, list[bytes]] = {}
    for name, reply in zip(names, replies, strict=True):
        if isinstance(reply, AskError):
            moved.setdefault(nodes.follow(reply, address), []).append(name)
        elif isinstance(reply, RedisError):
            return reply
        elif reply == 1:
            there.add(name)
    for new_address, some in moved.items() if redirections else ():
        answer = _present_at(nodes, deadline_s, redirections - 1, new_address, some)
        there |= answer if isinstance(answer, set) else set()
    return there
