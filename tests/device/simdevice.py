"""A device that isn't there: streams that a seed interleaves, and a check of every access.

Streams keep their order, events hold them back, and nothing else does: each run picks one of the
orders that a real device could, and :mod:`.shadow` tells from that one whether there is another
with another result. One thread, so that a seed repeats itself.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import singledispatch
from typing import TYPE_CHECKING

import torch

from kvtransfer.device.work import Copy, Gather, Scatter
from tests.device.shadow import Clock, Shadow

if TYPE_CHECKING:
    from collections.abc import Callable

HOST, MODEL = "host", "model"
GARBAGE = 0xA5


@dataclass(frozen=True)
class Mistakes:
    """What a programmer might forget."""

    unordered: frozenset[tuple[str, str]] = frozenset()
    """Pairs of streams: the second doesn't wait for events of the first."""
    unawaited: frozenset[str] = frozenset()
    """Streams whose events the host takes for done."""


class SimDevice:
    """See :class:`kvtransfer.device.Device`."""

    name = "simulated"
    is_host = False

    def __init__(self, seed, mistakes=None):
        self.random = random.Random(seed)
        self.mistakes = mistakes or Mistakes()
        self.shadow = Shadow()
        self.host = Clock({HOST: 1})
        self._streams = []
        self.found = []
        """Errors: who launched the work may be in a thread's callback, where they get lost."""
        self.model = self.stream(MODEL)

    def stream(self, name, priority=0):
        self._streams.append(SimStream(self, name.removeprefix("kvtransfer-")))
        return self._streams[-1]

    def compute_event(self):
        return self.model.launch(Model(lambda: None))

    def memory(self, nbytes):
        return torch.full((nbytes,), GARBAGE, dtype=torch.uint8)

    host_memory = memory

    def copy(self, pairs):
        for target, source in pairs:
            assert target.is_contiguous()
            assert source.is_contiguous()
            target.copy_(source)

    def touch(self, view, kind, label):
        """The host reads or writes ``view`` now."""
        self.host.advance(HOST)
        self.shadow.access(view, kind, HOST, self.host, label)

    def step(self):
        """Let one stream do one thing; False when none can."""
        ready = [stream for stream in self._streams if stream.is_ready]
        try:
            if ready:
                self.random.choice(ready).run_one()
        except AssertionError as error:
            self.found.append(error)
            raise
        return bool(ready)

    def idle(self, most=3):
        """Time passes for the host: up to ``most`` things are done meanwhile."""
        for _ in range(self.random.randint(0, most)):
            self.step()


@dataclass
class Model:
    """Kernels of the model."""

    run: Callable[[], None]
    reads: list[torch.Tensor] = field(default_factory=list)
    writes: list[torch.Tensor] = field(default_factory=list)

    def __call__(self):
        self.run()


@singledispatch
def touched(work):
    """The memory that ``work`` reads and that it writes."""
    raise TypeError(work)


@touched.register
def _(work: Model):
    return work.reads, work.writes


@touched.register
def _(work: Copy):
    return [source for _, source in work.pairs], [target for target, _ in work.pairs]


@touched.register
def _(work: Gather):
    blocks = [plane[block] for plane in work.copy.planes for block in work.block_ids]
    return blocks, [work.chunk[:, : _tokens(work)]]


@touched.register
def _(work: Scatter):
    blocks = [plane[block] for plane in work.copy.planes for block in work.block_ids]
    end = work.first_token + _tokens(work)
    return [work.chunk[:, work.first_token : end]], blocks


def _tokens(work):
    return len(work.block_ids) * work.copy.planes[0].shape[1]


class SimStream:
    """See :class:`kvtransfer.device.Stream`."""

    def __init__(self, device, name):
        self._device = device
        self.name = name
        self._clock = Clock({name: 0})
        self._waiting = []

    def launch(self, work, after=()):
        unordered = self._device.mistakes.unordered
        after = [event for event in after if (event.stream, self.name) not in unordered]
        event = SimEvent(self._device, self.name)
        self._device.host.advance(HOST)
        self._waiting.append((work, after, event, self._device.host.copy()))
        self._device.idle(most=1)  # the host is a little ahead, or far
        return event

    @property
    def is_ready(self):
        return bool(self._waiting) and all(event.clock for event in self._waiting[0][1])

    def run_one(self):
        work, after, event, launched = self._waiting.pop(0)
        for earlier in (launched, *[event.clock for event in after]):
            self._clock.join(earlier)
        self._clock.advance(self.name)
        for kind, views in zip(("read", "write"), touched(work), strict=True):
            for view in views:
                label = type(work).__name__
                self._device.shadow.access(view, kind, self.name, self._clock, label)
        work()
        event.reach(self._clock.copy())

    def close(self):
        while self._waiting:
            assert self._device.step()


class SimEvent:
    """See :class:`kvtransfer.device.Event`."""

    error = None

    def __init__(self, device, stream):
        self._device = device
        self.stream = stream
        self.clock = None
        """When it was reached; None before."""
        self._calls = []

    def reach(self, clock):
        self.clock = clock
        while self._calls:
            self._calls.pop()()

    @property
    def is_done(self):
        self._device.idle(most=1)
        if self.stream in self._device.mistakes.unawaited:
            return True
        if self.clock is not None:
            self._device.host.join(self.clock)
        return self.clock is not None

    def wait(self):
        while not self.is_done:
            assert self._device.step(), "no stream will ever reach this event"

    def on_done(self, call):
        if self.clock is None:
            self._calls.append(call)
        else:
            call()
