"""The interface to a device: its streams, events and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

__all__ = ["Device", "Event", "Stream", "open_device"]


class Event(Protocol):
    """A point in a stream's work; any thread may ask."""

    @property
    def is_done(self) -> bool:
        """Whether all work before this point has ended, successfully or not."""
        ...

    def wait(self) -> None:
        """Block until ``is_done``, with the interpreter lock released."""
        ...

    def on_done(self, call: Callable[[], None]) -> None:
        """Call ``call`` once, as soon as ``is_done``, whether the work failed or not.

        It runs on the calling thread if the work has ended already, otherwise on a thread of the
        stream, and so must be short and must not raise. The stream's ``close`` returns only after
        all such calls.
        """
        ...

    @property
    def error(self) -> BaseException | None:
        """Why the work, or work that it waited for, failed; None until ``is_done`` was seen."""
        ...


class Stream(Protocol):
    """Does work in the order of its launches; for one thread at a time."""

    def launch(self, work: Callable[[], None], after: Sequence[Event] = ()) -> Event:
        """Do ``work`` after all earlier launches and after the events ``after``; return at once.

        If an event of ``after`` failed, ``work`` is skipped and fails with the same error. The
        memory that ``work`` reads and writes belongs to it until the returned event is done.
        """
        ...

    def close(self) -> None:
        """Wait for the work, and end the stream."""
        ...


class Device(Protocol):
    """The device whose memory holds the paged caches."""

    @property
    def name(self) -> str:
        """The kind of device, such as ``NVIDIA H100 80GB HBM3``; calibrations are kept by it."""
        ...

    @property
    def is_host(self) -> bool:
        """Whether its memory is host memory, so that staging gains nothing."""
        ...

    def stream(self, name: str, priority: int = 0) -> Stream:
        """Return a new stream, which the caller owns and closes.

        Args:
            name: shown in profilers and stack dumps.
            priority: the lower the number, the sooner its kernels run; the model's have 0.
        """
        ...

    def compute_event(self) -> Event:
        """Return the event after all work that the model has launched so far."""
        ...

    def memory(self, nbytes: int) -> Tensor:
        """Return ``[nbytes]`` uint8 of the device's own memory, uninitialised."""
        ...

    def host_memory(self, nbytes: int) -> Tensor:
        """Return ``[nbytes]`` uint8 of host memory, mapped in; pinned where the device is a GPU."""
        ...

    def copy(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Copy each ``(target, source)``, contiguous and alike, as part of a stream's work."""
        ...


def open_device(device: torch.device) -> Device:
    """Return the interface to ``device``.

    Raises:
        ConfigError: ``device`` is neither a CPU nor an NVIDIA GPU.
    """
    if device.type == "cpu":
        from kvtransfer.device.cpu import CpuDevice

        return CpuDevice()
    if device.type == "cuda":
        from kvtransfer.device.cuda import CudaDevice

        return CudaDevice(device)
    raise ConfigError(f"device {device} is not supported; use an NVIDIA GPU or vLLM's CPU build")
