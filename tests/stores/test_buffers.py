from __future__ import annotations

from kvtransfer.stores.buffers import Buffers


def address(buffer):
    import numpy as np

    return np.frombuffer(buffer, np.uint8).ctypes.data


def test_calls_at_once_have_buffers_of_their_own_and_later_ones_have_them_again():
    buffers = Buffers()
    with buffers.taken(100) as one, buffers.taken(5000) as other:
        assert (len(one), len(other)) == (100, 5000)
        assert address(one) % 4096 == address(other) % 4096 == 0
        places = {address(one), address(other)}
        one[:], other[:] = b"1" * 100, b"2" * 5000
        assert bytes(one) == b"1" * 100
    with buffers.taken(50) as again, buffers.taken(50) as another:
        assert {address(again), address(another)} == places


def test_a_larger_one_takes_the_place_of_one_that_is_too_small():
    buffers = Buffers()
    with buffers.taken(10):
        pass
    with buffers.taken(1 << 20) as larger:
        assert len(larger) == 1 << 20
        place = address(larger)
    with buffers.taken(10) as smaller:
        assert (len(smaller), address(smaller)) == (10, place)
