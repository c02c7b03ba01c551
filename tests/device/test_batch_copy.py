import ctypes

import numpy as np
import pytest

from kvtransfer.device import batch_copy
from kvtransfer.device.batch_copy import BatchCopy, joined


def test_neighbours_in_both_memories_become_one_copy():
    runs = [(100, 500, 8), (108, 508, 8), (116, 600, 8), (124, 608, 4), (200, 612, 4)]
    assert joined(runs) == [(100, 500, 16), (116, 600, 12), (200, 612, 4)]
    assert joined([]) == []


def driver(result=0, failed=0):
    """``cuMemcpyBatchAsync`` as the driver's header declares it, on host memory."""
    calls = []

    @batch_copy._Function
    def copy(targets, sources, sizes, count, attributes, indices, attribute_count, fail, stream):
        calls.append((stream, attribute_count, words(indices, 1), c_uints(attributes, 6)))
        for target, source, size in zip(
            words(targets, count), words(sources, count), words(sizes, count), strict=True
        ):
            ctypes.memmove(target, source, size)
        ctypes.c_size_t.from_address(fail).value = failed
        return result

    return copy, calls


def words(address, count):
    return list((ctypes.c_uint64 * count).from_address(address))


def c_uints(address, count):
    return list((ctypes.c_uint * count).from_address(address))


def test_all_runs_are_handed_to_the_driver_in_one_call():
    copy, calls = driver()
    source, target = np.arange(64, dtype=np.uint8), np.zeros(64, dtype=np.uint8)
    runs = [
        (target.ctypes.data + to, source.ctypes.data + start, size)
        for to, start, size in ((0, 32, 8), (40, 0, 24), (20, 60, 4))
    ]
    BatchCopy(copy)(runs, stream=0xABC)
    expected = np.zeros(64, dtype=np.uint8)
    expected[0:8], expected[40:64], expected[20:24] = source[32:40], source[:24], source[60:]
    assert (target == expected).all()
    # One set of attributes from the first copy on; sources are read in the stream's order.
    assert calls == [(0xABC, 1, [0], [1, 0, 0, 0, 0, 0])]


def test_the_drivers_refusal_is_an_error():
    copy, _ = driver(result=201, failed=7)
    with pytest.raises(RuntimeError, match="failed with 201 at copy 7"):
        BatchCopy(copy)([(0, 0, 0)], stream=1)


def test_without_a_driver_there_is_none(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(batch_copy.ctypes, "CDLL", missing)
    assert BatchCopy.open() is None
