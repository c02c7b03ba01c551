"""Pinned host memory: pages of this process that the CUDA driver has registered in one call.

Torch's own pinned allocator would round them up to the next power of two. CuPy is optional and is
used for this one call, ``cudaHostRegister``: its binding is documented, and its errors name CUDA's.
Where there is no CuPy for torch's CUDA, ``torch.cuda.cudart()`` makes the same call.
"""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from kvtransfer.device.arena import Pages
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_LOG = logging.getLogger("kvtransfer")


@dataclass(frozen=True)
class Registry:
    """Two functions of a CUDA runtime that is loaded in this process."""

    register: Callable[[int, int], object]
    """Takes an address and a number of bytes; raises RuntimeError where the driver refuses."""
    unregister: Callable[[int], object]
    """Takes the address of what was registered."""

    @classmethod
    def open(cls) -> Registry:
        """Use CuPy's runtime where it works and is of the CUDA that torch was built for."""
        cupy = _cupy_runtime()
        if cupy is not None and cupy.runtimeGetVersion() // 1000 == _torch_cuda_major():
            return cls(lambda address, n: cupy.hostRegister(address, n, 0), cupy.hostUnregister)
        cudart = torch.cuda.cudart()
        return cls(
            lambda address, n: torch.cuda.check_error(cudart.cudaHostRegister(address, n, 0)),
            cudart.cudaHostUnregister,
        )


def pinned(nbytes: int, registry: Registry) -> Tensor:
    """Return ``[nbytes]`` uint8, zeroed; registered until the last view of it is dropped.

    Raises:
        ConfigError: the driver does not lock that much memory.
    """
    pages = Pages.of(nbytes)
    memory = pages.tensor()
    try:
        registry.register(memory.data_ptr(), nbytes)
    except RuntimeError as error:
        raise ConfigError(
            f"{nbytes / 2**30:.1f} GiB of host memory can't be pinned ({error}); "
            "lower max_local_cpu_size or raise `ulimit -l`"
        ) from error
    # Before the pages go; at exit the driver may be gone first, and the kernel frees them anyway.
    weakref.finalize(pages, registry.unregister, memory.data_ptr()).atexit = False
    return memory


def _cupy_runtime() -> Any:
    """Return CuPy's binding of the CUDA runtime; None where CuPy is absent or broken."""
    try:
        cuda = import_module("cupy").cuda
        return cuda.runtime if cuda.is_available() else None
    except ModuleNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - two of its wheels at once fail in ways of their own
        _LOG.warning("CuPy can't be used, so torch pins host memory: %r", error)
        return None


def _torch_cuda_major() -> int | None:
    return int(torch.version.cuda.split(".")[0]) if torch.version.cuda else None
