"""An NVIDIA GPU as a device: torch's streams and events, pinned memory, the copy engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from kvtransfer.device.batch_copy import BatchCopy, joined
from kvtransfer.device.failed import FailedEvent
from kvtransfer.device.pinned import Registry, pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from kvtransfer.device import Event


class CudaDevice:
    """See :class:`kvtransfer.device.Device`; the constructor does not touch the driver."""

    is_host = False

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._watcher = _watcher()

    @property
    def name(self) -> str:
        """See :class:`kvtransfer.device.Device`."""
        return torch.cuda.get_device_name(self._device)

    def stream(self, name: str, priority: int = 0) -> CudaStream:
        """See :class:`kvtransfer.device.Device`; CUDA streams have no names."""
        return CudaStream(torch.cuda.Stream(self._device, priority=priority))

    def compute_event(self) -> CudaEvent:
        """See :class:`kvtransfer.device.Device`; on the calling thread's current stream."""
        return CudaEvent.after(torch.cuda.current_stream(self._device), self._watcher)

    def memory(self, nbytes: int) -> Tensor:
        """See :class:`kvtransfer.device.Device`."""
        return torch.empty(nbytes, dtype=torch.uint8, device=self._device)

    def host_memory(self, nbytes: int) -> Tensor:
        """See :class:`kvtransfer.device.Device`; pinned, so kernels may use its addresses too."""
        with torch.cuda.device(self._device):
            return pinned(nbytes, Registry.open())

    def copy(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """See :class:`kvtransfer.device.Device`; on the current stream."""
        if not all(tensor.is_contiguous() for pair in pairs for tensor in pair):
            raise ValueError("a copy engine takes contiguous memory only")
        runs = joined((to.data_ptr(), source.data_ptr(), to.nbytes) for to, source in pairs)
        if len(runs) > 1 and self._batch_copy is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.query()  # any call of the runtime makes its context the thread's, for the driver
            self._batch_copy(runs, stream.cuda_stream)
            return
        for target, source in pairs:
            target.copy_(source, non_blocking=True)

    @cached_property
    def _batch_copy(self) -> BatchCopy | None:
        return BatchCopy.open()


class CudaStream:
    """See :class:`kvtransfer.device.Stream`; work is done when the stream has passed its event.

    A failed launch is reported by its event. Work that fails on the GPU is an error of the event
    that is asked next, because CUDA does not say which work it was.
    """

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream
        self._watcher = _watcher()

    def launch(self, work: Callable[[], None], after: Sequence[Event] = ()) -> Event:
        """See :class:`kvtransfer.device.Stream`."""
        try:
            with torch.cuda.stream(self._stream):  # and its device
                for event in after:
                    _hold(self._stream, event)
                work()
                return CudaEvent.after(self._stream, self._watcher)
        except Exception as error:  # noqa: BLE001
            self._stream.synchronize()  # a failed launch leaves nothing under way
            return FailedEvent(error)

    def close(self) -> None:
        """See :class:`kvtransfer.device.Stream`."""
        self._stream.synchronize()
        self._watcher.shutdown()


class CudaEvent:
    """See :class:`kvtransfer.device.Event`.

    Args:
        event: recorded, and made with ``blocking=True``, so that a thread that waits for it sleeps.
        watcher: waits for the event where ``on_done`` is called before it is done.
    """

    def __init__(self, event: torch.cuda.Event, watcher: ThreadPoolExecutor) -> None:
        self.event = event
        self._watcher = watcher
        self._error: BaseException | None = None

    @classmethod
    def after(cls, stream: torch.cuda.Stream, watcher: ThreadPoolExecutor) -> CudaEvent:
        """Return the event of all work that ``stream`` was given before this call."""
        event = torch.cuda.Event(blocking=True)
        event.record(stream)
        return cls(event, watcher)

    @property
    def is_done(self) -> bool:
        """See :class:`kvtransfer.device.Event`."""
        try:
            return bool(self.event.query())
        except RuntimeError as error:  # of the work, or of any before it: CUDA doesn't say which
            self._error = error
            return True

    def wait(self) -> None:
        """See :class:`kvtransfer.device.Event`."""
        try:
            self.event.synchronize()
        except RuntimeError as error:
            self._error = error

    def on_done(self, call: Callable[[], None]) -> None:
        """See :class:`kvtransfer.device.Event`; the watcher's thread calls."""
        if self.is_done:
            call()
            return
        try:
            self._watcher.submit(self._wait_and_call, call)
        except RuntimeError:  # the stream was closed meanwhile, which waited for the event
            call()

    @property
    def error(self) -> BaseException | None:
        """See :class:`kvtransfer.device.Event`."""
        return self._error

    def _wait_and_call(self, call: Callable[[], None]) -> None:
        self.wait()
        call()


def _watcher() -> ThreadPoolExecutor:
    """Return one thread, begun when first needed, that waits for a stream's events in their order."""
    return ThreadPoolExecutor(1, thread_name_prefix="kvtransfer-watch")


def _hold(stream: torch.cuda.Stream, event: Event) -> None:
    """Make ``stream`` do nothing more before ``event``; raise its error if it has failed."""
    if event.error is not None:
        raise event.error
    if isinstance(event, CudaEvent):
        stream.wait_event(event.event)
    else:
        event.wait()
