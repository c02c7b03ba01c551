"""Streams, events and memory that a device copies to and from, behind one small interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

__all__ = ["Device", "Event", "Stream", "open_device"]


class Event(Protocol):
    """A point in a stream's work."""

    @property
    def is_done(self) -> bool:
        """Whether all work before it has ended, well or badly."""
        ...

    def wait(self) -> None:
        """Wait until it has, with the interpreter lock released."""
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
        """Why the work, or work it waited for, did not do what it should; None while it goes on."""
        ...


class Stream(Protocol):
    """Work in the order of its launches; for one thread at a time."""

    def launch(self, work: Callable[[], None], after: Sequence[Event] = ()) -> Event:
        """Do ``work`` after what was launched before and after ``after``; returns at once.

        When one of ``after`` failed, ``work`` is not done and fails likewise. What ``work`` reads
        and writes belongs to it until the event is done.
        """
        ...

    def close(self) -> None:
        """Wait for the work and end."""
        ...


class Device(Protocol):
    """Where the paged caches are."""

    @property
    def name(self) -> str:
        """Of the kind of device, ``NVIDIA H100 80GB HBM3``: what calibrations are kept by."""
        ...

    @property
    def is_host(self) -> bool:
        """Whether its memory is the host's, so that nothing is gained by staging."""
        ...

    def stream(self, name: str, priority: int = 0) -> Stream:
        """A new stream; the caller owns it.

        Args:
            name: shows in profilers and stack dumps.
            priority: of its kernels; the lower, the sooner. 0 is the model's.
        """
        ...

    def compute_event(self) -> Event:
        """After all that the model has launched so far."""
        ...

    def memory(self, nbytes: int) -> Tensor:
        """``[nbytes]`` uint8 of the device's own memory."""
        ...

    def host_memory(self, nbytes: int) -> Tensor:
        """``[nbytes]`` uint8 of host memory, touched, that this device copies to and from fast."""
        ...

    def copy(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """For each ``(target, source)``, contiguous and alike: copy, as part of a stream's work."""
        ...


def open_device(device: torch.device) -> Device:
    """The interface to ``device``.

    Raises:
        ConfigError: a kind of device that we have no streams for.
    """
    if device.type == "cpu":
        from kvtransfer.device.cpu import CpuDevice

        return CpuDevice()
    if device.type == "cuda":
        from kvtransfer.device.cuda import CudaDevice

        return CudaDevice(device)
    raise ConfigError(f"device {device} is not supported; use an NVIDIA GPU or vLLM's CPU build")
