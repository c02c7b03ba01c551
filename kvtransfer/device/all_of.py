"""One event for several that together end a copy."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kvtransfer.device import Event


class AllOf:
    """See :class:`kvtransfer.device.Event`; done once all of ``events`` are."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events

    @property
    def is_done(self) -> bool:
        """See :class:`kvtransfer.device.Event`."""
        return all(event.is_done for event in self.events)

    def wait(self) -> None:
        """See :class:`kvtransfer.device.Event`."""
        for event in self.events:
            event.wait()

    def on_done(self, call: Callable[[], None]) -> None:
        """See :class:`kvtransfer.device.Event`; the stream of the last to end calls."""
        lock, left = Lock(), len(self.events)

        def end_one() -> None:
            nonlocal left
            with lock:
                left -= 1
                is_last = left == 0
            if is_last:
                call()

        for event in self.events:
            event.on_done(end_one)

    @property
    def error(self) -> BaseException | None:
        """See :class:`kvtransfer.device.Event`; the first that there is."""
        return next((event.error for event in self.events if event.error is not None), None)


def single_events(events: Iterable[Event]) -> Iterator[Event]:
    """The events that ``events`` consist of, which a stream can wait for."""
    for event in events:
        if isinstance(event, AllOf):
            yield from event.events
        else:
            yield event
