"""Asks about many things at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

_ASKED_AT_ONCE = 64

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def each(ask: Callable[[Item], Awaitable[Answer]], items: Iterable[Item]) -> list[Answer]:
    """Ask about all ``items``, at most 64 at once; return the answers in their order.

    The first that fails ends the others, and its exception is raised once they have ended.
    """
    gate = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def answer(item: Item) -> Answer:
        async with gate:
            return await ask(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(answer(item)) for item in items]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
