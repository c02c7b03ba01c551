"""Many copies in one call of the CUDA driver, by ctypes: neither torch nor CuPy has the call.

``cuMemcpyBatchAsync`` exists since CUDA 12.8. It costs half a microsecond a copy, a loop of calls
six. The driver does not merge adjacent copies, so ``joined`` does.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Run = tuple[int, int, int]
    """Target address, source address, bytes."""

_CUDA_12_8 = 12080
_IN_STREAM_ORDER = 1  # CU_MEMCPY_SRC_ACCESS_ORDER_STREAM


class _Location(ctypes.Structure):
    _fields_ = (("type", ctypes.c_uint), ("id", ctypes.c_int))


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("source_access_order", ctypes.c_uint),
        ("source_hint", _Location),
        ("target_hint", _Location),
        ("flags", ctypes.c_uint),
    )


_Function = ctypes.CFUNCTYPE(
    ctypes.c_uint,
    *[ctypes.c_void_p] * 3,  # targets, sources, sizes
    ctypes.c_size_t,
    *[ctypes.c_void_p] * 2,  # attributes, and the copy from which on each holds
    ctypes.c_size_t,
    *[ctypes.c_void_p] * 2,  # where to say which copy failed; stream
)


class BatchCopy:
    """The driver's ``cuMemcpyBatchAsync``."""

    def __init__(self, function: Callable[..., int]) -> None:
        self._function = function

    @classmethod
    def open(cls) -> BatchCopy | None:
        """Find it in the installed driver; None where there is no driver, or an older one."""
        try:
            driver = ctypes.CDLL("libcuda.so.1")
            find = driver.cuGetProcAddress_v2
        except (OSError, AttributeError):
            return None
        address, status = ctypes.c_void_p(), ctypes.c_int()
        found = find(
            b"cuMemcpyBatchAsync",
            ctypes.byref(address),
            _CUDA_12_8,
            ctypes.c_uint64(0),
            ctypes.byref(status),
        )
        return cls(_Function(address.value)) if found == 0 and address.value else None

    def __call__(self, runs: Iterable[Run], stream: int) -> None:
        """Begin all ``runs`` on the CUDA stream ``stream``, which is not the default stream.

        Raises:
            RuntimeError: the driver refuses.
        """
        table = np.array(list(runs), dtype=np.uint64).T.copy()
        attributes = _Attributes(source_access_order=_IN_STREAM_ORDER)
        first, failed = ctypes.c_size_t(0), ctypes.c_size_t(0)
        targets, sources, sizes = (row.ctypes.data for row in table)
        result = self._function(
            targets,
            sources,
            sizes,
            table.shape[1],
            ctypes.addressof(attributes),
            ctypes.addressof(first),
            1,
            ctypes.addressof(failed),
            stream,
        )
        if result:
            raise RuntimeError(f"cuMemcpyBatchAsync failed with {result} at copy {failed.value}")


def joined(runs: Iterable[Run]) -> list[Run]:
    """Return the same copies, with those merged that are adjacent in both memories."""
    done: list[Run] = []
    for target, source, nbytes in runs:
        if done and (target, source) == (done[-1][0] + done[-1][2], done[-1][1] + done[-1][2]):
            done[-1] = (done[-1][0], done[-1][1], done[-1][2] + nbytes)
        else:
            done.append((target, source, nbytes))
    return done
