"""Caches where servers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from kvtransfer.stores.redis.last_answer import LastAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class TopologyCache(LastAnswer[T]):
    """The last answer to which server is master, or which node has a hash slot."""

    def __init__(self, ask: Callable[[], T]) -> None:
        super().__init__(ask, "no server has said in time where the servers are")
