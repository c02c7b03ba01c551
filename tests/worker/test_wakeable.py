"""A copier whose caches are taken away and given back."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from threading import Event

import pytest
import torch

from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.device import open_device
from kvtransfer.worker.copier import Copier
from kvtransfer.worker.host_pool import HostPool
from kvtransfer.worker.wakeable import WakeableCopier

BLOCKS, BLOCK_TOKENS, CHUNK_TOKENS = 12, 4, 8


class Bench:
    def __init__(self):
        self.layers = [torch.randn(BLOCKS, 2, BLOCK_TOKENS, 6) for _ in range(2)]
        caches = PagedCaches.split(self.layers, CHUNK_TOKENS)
        device = open_device(torch.device("cpu"))
        self.opened = 0
        pool = HostPool(device, caches.chunk, 3)
        self.copier = WakeableCopier(partial(self.open, [[caches]], caches.chunk, pool, device))
        self.gate = Event()

    def open(self, *arguments):
        self.opened += 1
        return Copier.open(*arguments)

    def pages(self, *block_ids):
        return [layer[list(block_ids)].clone() for layer in self.layers]


class Awaited:
    """An event that a test lets happen."""

    error = None

    def __init__(self, gate):
        self._gate = gate

    @property
    def is_done(self):
        return self._gate.is_set()

    def wait(self):
        self._gate.wait()


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_suspending_waits_for_the_copies_of_both_directions():
    it = Bench()
    expected = it.pages(3, 1)
    saved = it.copier.to_host((3, 1), 0, [Awaited(it.gate)])
    loaded = it.copier.to_device(0, (5, 7), 0, [saved], [])
    it.gate.set()
    it.copier.suspend()
    assert saved.is_done
    assert loaded.is_done
    assert same(it.pages(5, 7), expected)
    it.copier.close()


def test_nothing_touches_the_caches_meanwhile_and_all_works_again_afterwards():
    it = Bench()
    with closing(it.copier):
        expected = it.pages(3, 1)
        it.copier.to_host((3, 1), 0, []).wait()
        it.copier.suspend()
        it.copier.suspend()
        for layer in it.layers:
            layer.zero_()
        for refused in (
            it.copier.to_device(0, (5, 7), 0, [], []),
            it.copier.to_host((3, 1), 0, []),
        ):
            refused.wait()
            assert refused.is_done
            assert "sleeps" in str(refused.error)
        assert not any(layer.any() for layer in it.layers)
        it.copier.resume()
        it.copier.resume()
        assert it.opened == 2
        it.copier.to_device(0, (5, 7), 0, [], []).wait()
        assert same(it.pages(5, 7), expected)


@pytest.mark.parametrize("suspended", [False, True])
def test_closing_in_either_state(suspended):
    it = Bench()
    if suspended:
        it.copier.suspend()
    it.copier.close()
    assert it.copier.to_host((3, 1), 0, []).error is not None
