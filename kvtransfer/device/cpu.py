"""The CPU as a device: its memory is host memory, and each stream is a thread.

NumPy and torch make the copies with the interpreter lock released, so they run beside the model.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import TYPE_CHECKING

import torch

from kvtransfer.device.arena import Pages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from kvtransfer.device import Event


class CpuDevice:
    """See :class:`kvtransfer.device.Device`."""

    name = "CPU"
    is_host = True

    def stream(self, name: str, priority: int = 0) -> CpuStream:
        """See :class:`kvtransfer.device.Device`; threads have no priority."""
        return CpuStream(name)

    def compute_event(self) -> CpuEvent:
        """See :class:`kvtransfer.device.Device`; done, since the model computes before it calls."""
        past: Future[None] = Future()
        past.set_result(None)
        return CpuEvent(past)

    def memory(self, nbytes: int) -> Tensor:
        """See :class:`kvtransfer.device.Device`."""
        return Pages.of(nbytes).tensor()

    def host_memory(self, nbytes: int) -> Tensor:
        """See :class:`kvtransfer.device.Device`."""
        return Pages.of(nbytes).tensor()

    def copy(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """See :class:`kvtransfer.device.Device`."""
        for target, source in pairs:
            target.copy_(source)


class CpuStream:
    """See :class:`kvtransfer.device.Stream`; one thread does the work."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    def launch(self, work: Callable[[], None], after: Sequence[Event] = ()) -> CpuEvent:
        """See :class:`kvtransfer.device.Stream`."""
        return CpuEvent(self._thread.submit(_run, work, after))

    def close(self) -> None:
        """See :class:`kvtransfer.device.Stream`."""
        self._thread.shutdown()


class CpuEvent:
    """See :class:`kvtransfer.device.Event`."""

    def __init__(self, work: Future[None]) -> None:
        self._work = work

    @property
    def is_done(self) -> bool:
        """See :class:`kvtransfer.device.Event`."""
        return self._work.done()

    def wait(self) -> None:
        """See :class:`kvtransfer.device.Event`."""
        wait_for([self._work])

    def on_done(self, call: Callable[[], None]) -> None:
        """See :class:`kvtransfer.device.Event`; the stream's own thread calls."""
        calls = [call]  # a future keeps its callbacks for ever: this one forgets what it calls
        self._work.add_done_callback(lambda _: calls.pop()())

    @property
    def error(self) -> BaseException | None:
        """See :class:`kvtransfer.device.Event`."""
        return self._work.exception() if self._work.done() else None


def _run(work: Callable[[], None], after: Sequence[Event]) -> None:
    for event in after:
        event.wait()
        if event.error is not None:
            raise event.error
    with torch.inference_mode():  # as the engine's threads are, whose tensors we write
        work()
