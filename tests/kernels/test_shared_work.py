from __future__ import annotations

import threading
from contextlib import closing
from functools import partial
from threading import Barrier, Event

import pytest
import torch

from kvtransfer.kernels.host_copy import HostCopy
from kvtransfer.kernels.shared_work import Helpers

FOREVER_S = 30.0


@pytest.fixture(params=[0, 1, 3])
def helpers(request):
    with closing(Helpers(request.param)) as made:
        yield made


def test_each_part_is_done_once_whoever_does_it(helpers):
    for count in (0, 1, 2, 50):
        done = []
        helpers.run([partial(done.append, i) for i in range(count)])
        assert sorted(done) == list(range(count))


def test_parts_are_done_at_once():
    with closing(Helpers(1)) as helpers:
        both = Barrier(2, timeout=FOREVER_S)
        helpers.run([both.wait, both.wait])


def test_a_helper_that_does_not_come_is_not_waited_for():
    with closing(Helpers(1)) as helpers:
        busy, over = Event(), Event()

        def hold():
            busy.set()
            assert over.wait(FOREVER_S)

        first = threading.Thread(target=helpers.run, args=([hold, hold],))
        first.start()
        assert busy.wait(FOREVER_S)
        done = []
        helpers.run([partial(done.append, i) for i in range(5)])
        assert done == [0, 1, 2, 3, 4]
        over.set()
        first.join()


def test_what_a_part_raises_is_raised_when_all_that_began_are_over(helpers):
    done = []

    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        helpers.run([fail, *[partial(done.append, i) for i in range(5)]])
    before = len(done)
    helpers.run([partial(done.append, 9)])
    assert len(done) == before + 1


@pytest.mark.parametrize("layers", [1, 2, 7])
@pytest.mark.parametrize("first_token", [0, 512])
def test_a_scatter_that_is_shared_is_the_same_scatter(helpers, layers, first_token):
    planes = [torch.zeros(8, 512, 2, 64) for _ in range(2 * layers)]
    expected = [plane.clone() for plane in planes]
    chunk = torch.rand(2 * layers, 1024, 2, 64)
    block_ids = [6, 1][: (1024 - first_token) // 512]
    HostCopy(expected).scatter_blocks(chunk, block_ids, first_token)
    HostCopy(planes, helpers).scatter_blocks(chunk, block_ids, first_token)
    assert all(torch.equal(a, b) for a, b in zip(planes, expected, strict=True))
