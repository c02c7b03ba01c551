"""Host memory that a GPU reaches by itself: one range, registered once with the driver.

Torch's own pinned allocator would round it up to the next power of two.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Protocol

import torch

from kvtransfer.device.arena import Pages
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Registry(Protocol):
    """Where memory is registered; by address, in bytes."""

    def register(self, address: int, nbytes: int) -> None:
        """RuntimeError where the driver refuses."""
        ...

    def unregister(self, address: int) -> None:
        """Undo it."""
        ...


class CupyRegistry:
    """By CuPy's binding of the CUDA runtime."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime

    def register(self, address: int, nbytes: int) -> None:
        """See :class:`Registry`."""
        self._runtime.hostRegister(address, nbytes, 0)

    def unregister(self, address: int) -> None:
        """See :class:`Registry`."""
        self._runtime.hostUnregister(address)


class TorchRegistry:
    """By torch's, which has fewer functions but is always there."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime

    def register(self, address: int, nbytes: int) -> None:
        """See :class:`Registry`."""
        torch.cuda.check_error(self._runtime.cudaHostRegister(address, nbytes, 0))

    def unregister(self, address: int) -> None:
        """See :class:`Registry`."""
        self._runtime.cudaHostUnregister(address)


def open_registry(import_cupy: Callable[[], Any], cuda_version: str | None) -> Registry:
    """CuPy's where it works and is of torch's CUDA, else torch's.

    Args:
        import_cupy: returns the module or raises.
        cuda_version: that torch was built for, ``13.0``.
    """
    runtime = _cupy_runtime(import_cupy)
    major = int(cuda_version.split(".")[0]) if cuda_version else None
    if runtime is not None and runtime.runtimeGetVersion() // 1000 == major:
        return CupyRegistry(runtime)
    return TorchRegistry(torch.cuda.cudart())


def pinned(nbytes: int, registry: Registry) -> Tensor:
    """``[nbytes]`` uint8 in ``registry``, until the last view of it goes.

    Raises:
        ConfigError: the driver does not lock so much memory.
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


def _cupy_runtime(import_cupy: Callable[[], Any]) -> Any:
    # CuPy imports without a driver and fails at the first call; two of its wheels at once, or one
    # for another CUDA, fail in ways of their own.
    try:
        cuda = import_cupy().cuda
        return cuda.runtime if cuda.is_available() else None
    except Exception:  # noqa: BLE001
        return None
