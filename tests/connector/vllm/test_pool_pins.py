"""Blocks that wait to be copied stay out of vLLM's own pool of free blocks."""

from __future__ import annotations

import pytest

from kvtransfer.connector.vllm.pool_pins import PoolPins


@pytest.fixture
def pool():
    from vllm.v1.core.block_pool import BlockPool

    return BlockPool(num_gpu_blocks=8, enable_caching=True, hash_block_size=16)


@pytest.fixture
def pins(pool):
    pins = PoolPins()
    pins.bind(pool)
    return pins


def test_a_block_that_a_request_gives_back_is_free_once_it_is_copied(pool, pins):
    blocks = pool.get_new_blocks(3)
    free = pool.get_num_free_blocks()
    pins.pin(1, [block.block_id for block in blocks[:2]])
    pool.free_blocks(blocks)  # the request's
    assert pool.get_num_free_blocks() == free + 1
    pins.unpin(1)
    assert pool.get_num_free_blocks() == free + 3


def test_a_block_that_two_saves_copy_waits_for_both(pool, pins):
    (block,) = pool.get_new_blocks(1)
    free = pool.get_num_free_blocks()
    for job in (1, 2):
        pins.pin(job, [block.block_id])
    pool.free_blocks([block])
    pins.unpin(1)
    assert pool.get_num_free_blocks() == free
    pins.unpin(2)
    assert pool.get_num_free_blocks() == free + 1


def test_vllm_can_empty_its_cache_once_the_pins_are_released(pool, pins):
    (block,) = pool.get_new_blocks(1)
    pins.pin(1, [block.block_id])
    pool.free_blocks([block])
    assert not pool.reset_prefix_cache()
    pins.release()
    assert pool.reset_prefix_cache()
    pins.unpin(1)  # its copy ends later
    assert pool.get_num_free_blocks() == 7  # all but the null block


def test_nothing_is_pinned_before_there_is_a_pool():
    pins = PoolPins()
    pins.pin(1, [3])
    pins.unpin(1)
    pins.release()
