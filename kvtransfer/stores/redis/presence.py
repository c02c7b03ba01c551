"""Which names are in a cluster: one batch for each node, all nodes at once."""

from __future__ import annotations

import time
from concurrent.futures import wait
from functools import partial
from typing import TYPE_CHECKING

from redis.exceptions import AskError, RedisError, TimeoutError

from kvtransfer.stores.redis.halves import replies_to
from kvtransfer.stores.redis.wire.connection import command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from kvtransfer.stores.redis.slots import Place, Slots

_REDIRECTIONS = 3


def present(
    slots: Slots, threads: Executor, names: Sequence[bytes], deadline_s: float
) -> set[bytes]:
    """Those of ``names`` that are there; a node that fails has none.

    Raises:
        RedisError: no node that was asked has answered.
    """
    ask = partial(_present_at, slots, deadline_s, _REDIRECTIONS)
    asked = [threads.submit(ask, *each) for each in slots.by_place(names, deadline_s).items()]
    answered, _ = wait(asked, timeout=max(deadline_s - time.monotonic(), 0))
    answers = [each.result() for each in answered]
    there = [answer for answer in answers if isinstance(answer, set)]
    if asked and not there:
        errors = [answer for answer in answers if isinstance(answer, RedisError)]
        raise errors[0] if errors else TimeoutError("no node has answered in time")
    return set().union(*there)


def _present_at(
    slots: Slots, deadline_s: float, redirections: int, place: Place, names: Sequence[bytes]
) -> set[bytes] | RedisError:
    talk = partial(replies_to, [command(b"EXISTS", name) for name in names])
    try:
        replies = slots.exchange_at(place, talk, deadline_s)
    except RedisError as error:
        return error
    there: set[bytes] = set()
    moved: dict[Place, list[bytes]] = {}
    for name, reply in zip(names, replies, strict=True):
        if isinstance(reply, AskError):
            moved.setdefault(slots.follow(reply, place), []).append(name)
        elif isinstance(reply, RedisError):
            return reply
        elif reply == 1:
            there.add(name)
    for new_place, some in moved.items() if redirections else ():
        answer = _present_at(slots, deadline_s, redirections - 1, new_place, some)
        there |= answer if isinstance(answer, set) else set()
    return there
