"""Many are asked at once, but not too many; one that fails ends the others."""

from __future__ import annotations

import asyncio

import pytest

from kvtransfer.client_programs.objects.at_once import each


def test_answers_come_in_order_and_not_too_many_at_once():
    under_way, most = 0, 0

    async def ask(item):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return -item

    assert asyncio.run(each(ask, range(300))) == [-i for i in range(300)]
    assert most == 64


def test_one_that_fails_ends_the_others():
    ended = []

    async def ask(item):
        if item == 3:
            raise ValueError(item)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item)

    with pytest.raises(ValueError, match="3"):
        asyncio.run(each(ask, range(200)))
    assert {i for i in range(64) if i != 3} <= set(ended)
    assert 100 not in ended  # it never began
