"""An engine on a simulated device: requests compute, save, load, prefetch and are preempted.

The planner, the executor, the copier and its lanes are the real ones; only threads are not. What a
chunk holds follows from its key, so every read is checked twice: for its bytes, and for its order.
"""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
import torch

from kvtransfer.chunks.keys import group_of, piece_key
from kvtransfer.chunks.layout import GroupFormats
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.chunks.tiling import Placement
from kvtransfer.metrics import Metrics
from kvtransfer.plan import Plan
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.planner import Planner
from kvtransfer.worker import fetches, puts
from kvtransfer.worker.copier import Copier
from kvtransfer.worker.executor import Executor
from kvtransfer.worker.group_paths import GroupPaths, SectionPaths
from kvtransfer.worker.host_pool import HostPool
from kvtransfer.worker.lanes import DirectLane, PagesLane, StagedLane, Stages, Streams
from kvtransfer.worker.outcomes import Outcomes
from kvtransfer.worker.tiers import Limits, Tiers
from tests.device.simdevice import Model, SimDevice

BLOCKS, BLOCK_TOKENS, CHUNK_TOKENS, SLOTS, STEPS = 28, 4, 8, 10, 40
LONGEST = 1000
KEYS = [f"{i:032x}" for i in range(12)]
PIECES = [*KEYS, *(piece_key(key, 1) for key in KEYS)]
"""Where there are two groups."""


class SimEngine:
    """``lane`` is one of ``LANES``; ``finishes_copies`` False forgets to before blocks are reused."""

    def __init__(self, seed, lane, open_copy, mistakes=None, finishes_copies=True):
        self.device = SimDevice(seed, mistakes)
        self.random = self.device.random
        self.finishes_copies = finishes_copies
        memory = torch.zeros(4, BLOCKS, BLOCK_TOKENS, 2, 8, dtype=torch.int16).view(torch.float16)
        whole = PagedCaches.keys_and_values(list(memory[:2]), list(memory[2:]), CHUNK_TOKENS)
        ends = PagedCaches.keys_and_values([memory[1]], [memory[3]], BLOCK_TOKENS)
        self.groups = (whole, ends) if lane == "groups" else (whole,)
        """Their layers lie in the same memory; no block is two groups' at once."""
        self.keys = PIECES if lane == "groups" else KEYS
        forms = tuple(caches.chunk for caches in self.groups)
        formats = GroupFormats(forms, 0, CHUNK_TOKENS)
        self.pool = HostPool(self.device, formats, SLOTS)
        self.planner = Planner(Index(SLOTS), ranks=1, keep=True, put=True)
        self.store = SimStore(self)
        self.later = Later(self.random)
        self.saved = []
        self.preempts = 0.0
        self.free = list(range(BLOCKS))
        self.busy = {}
        """By job, what happens when it has ended."""
        self.preempted = []
        streams = Streams.open(self.device)
        make_lane, stages = LANES[lane], Stages(self.device, formats)
        only = SimpleNamespace(save_path=lambda *_: 0, load_path=lambda *_: 0)
        paths = [
            GroupPaths(
                [
                    SectionPaths(
                        caches, {0: make_lane(self.device, streams, stages, group, copy)}, only
                    )
                ]
            )
            for group, caches in enumerate(self.groups)
            for copy in [open_copy(caches.planes)]
        ]
        copier = Copier(paths, self.pool, streams)
        tiers = Tiers(
            copier, self.pool, self.device, self.store, lambda key: [key], [1] * len(paths)
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fetches, "PriorityPool", lambda *_: self.later)
            patch.setattr(puts, "WriteBehind", self.later.write_behind)
            metrics = Metrics()
            outcomes = Outcomes(metrics, tiers.block_bytes)
            self.executor = Executor(tiers, Limits(2, 2, 1e9), metrics, outcomes)

    def run(self):
        self.begin([], saves=5)  # more than there are stages
        self.begin(
            [(key, 1) for key in self.saved], saves=0
        )  # loaded before the host knows that they are saved
        self.preempts = 1.0
        self.begin([], saves=2)
        self.begin([], saves=2)  # into the blocks of the two before
        self.preempts = 0.4
        for number in range(STEPS):
            self.begin(self.likely(self.random.randint(0, 5)), self.random.randint(0, 5))
            if number % 3 == 0:  # otherwise the host is quick, and knows nothing new
                self.later.do_some()
                self.device.idle(most=6)
                self.settle()
        for _ in range(LONGEST):
            self.later.do_some()
            self.settle()
            if not self.busy and not self.later.waiting:
                return
        raise AssertionError(f"jobs that never ended: {sorted(self.busy)}")

    def likely(self, count):
        """Prompts, most of them seen lately, and how many of their blocks are wanted."""
        keys = self.random.choices([*self.keys, *(self.saved[-3:] * 4)], k=count)
        return [(key, self.random.randint(0, 2)) for key in keys]

    def begin(self, wanted, saves):
        """A step of the engine: loads begin, the model computes, saves begin."""
        if self.preempted and self.finishes_copies:
            self.executor.finish_copies()
        self.free += self.preempted
        self.preempted = []
        loads = [load for key, count in wanted for load in self.load(key, count)]
        self.executor.run(Plan(loads=tuple(loads)))
        jobs = [save for _ in range(saves) for save in self.compute()]
        self.executor.run(Plan(saves=tuple(jobs)))

    def compute(self):
        """A prompt that is cached nowhere: the model writes its blocks, and it is saved."""
        missing = [key for key in self.keys if key not in self.planner.index]
        if len(self.free) < 2 or not missing:
            return
        key = self.random.choice(missing)
        blocks = self.take(self.piece_blocks(key))
        self.device.model.launch(
            Model(lambda: self.fill(key, blocks, 0), writes=self.memory_of(key, blocks))
        )
        save = self.planner.save(key, blocks)
        if save is None:
            self.free += blocks
            return
        self.saved.append(key)
        if self.random.random() < self.preempts:  # soon the scheduler takes the blocks away
            self.preempted += blocks
            self.busy[save.job] = lambda failed: None
        else:
            self.busy[save.job] = lambda failed: self.free.extend(blocks)
        yield save

    def load(self, key, count):
        """A prompt, or the end of one, or only its way into host memory."""
        if key not in self.planner.index and key not in self.store.held:
            return
        count = min(count, self.piece_blocks(key))
        if len(self.free) < count:
            return
        blocks = self.take(count)
        first_token = (self.piece_blocks(key) - count) * BLOCK_TOKENS if count else 0
        jobs = self.planner.load([Placement(key, tuple(blocks), first_token)])
        if not jobs:
            self.free += blocks
        for job in jobs:
            self.busy[job.job] = lambda failed: self.use(key, blocks, first_token, failed)
        yield from jobs

    def use(self, key, blocks, first_token, failed):
        """The model reads what was loaded; no one waits for it before the blocks are given on."""
        if not failed:
            reads = self.memory_of(key, blocks)
            self.device.model.launch(Model(lambda: self.check(key, blocks, first_token), reads))
        self.free += blocks

    def take(self, count):
        """Those that were freed last: what went on in them is barely over."""
        taken, self.free = self.free[len(self.free) - count :], self.free[: len(self.free) - count]
        return taken

    def settle(self):
        if self.device.found:
            raise self.device.found[0]
        settled = self.planner.settle(self.executor.report())
        for job in (*settled.loaded, *settled.copied):
            self.busy.pop(job)(job in settled.failed)

    def caches_of(self, key):
        return self.groups[group_of(key)]

    def piece_blocks(self, key):
        return self.caches_of(key).chunk.tokens // BLOCK_TOKENS

    def memory_of(self, key, blocks):
        return [plane[block] for plane in self.caches_of(key).planes for block in blocks]

    def fill(self, key, blocks, first_token):
        for page, rows in self.pages_of(key, blocks, first_token):
            page[:] = rows

    def check(self, key, blocks, first_token):
        for page, rows in self.pages_of(key, blocks, first_token):
            assert torch.equal(page, rows)

    def pages_of(self, key, blocks, first_token):
        """The memory of each block of each plane, and what the model computes for it."""
        caches = self.caches_of(key)
        for plane, rows in zip(caches.planes, content(key, caches), strict=True):
            for i, block in enumerate(blocks):
                start = first_token + i * BLOCK_TOKENS
                yield plane[block], rows[start : start + BLOCK_TOKENS]


def content(key, caches):
    """``[planes, tokens, heads, dim]``: what the model computes for ``key``."""
    shape = (caches.chunk.planes, *caches.chunk.plane_shape)
    count = torch.arange(torch.Size(shape).numel(), dtype=torch.float16)
    return (count % 251 + 1000 + 8 * PIECES.index(key)).view(shape)


def staged(device, streams, stages, group, copy):
    return StagedLane(copy, streams, device, stages, group)


def direct(device, streams, stages, group, copy):
    return DirectLane(copy, streams)


def pages(device, streams, stages, group, copy):
    return PagesLane(copy.planes, streams, device)


LANES = {"staged": staged, "groups": staged, "direct": direct, "pages": pages}
"""``groups``: two cache groups whose pieces pass through the same stages."""


class SimStore:
    """A store whose client touches the slots; see :class:`kvtransfer.stores.ChunkStore`."""

    parallelism = 1

    def __init__(self, engine):
        self._engine = engine
        self.held = {}

    def put(self, key, payload, tenant, ttl_s):
        slot = self._slot(key, payload)
        self._engine.device.touch(slot, "read", "put")
        assert torch.equal(slot, content(key, self._engine.caches_of(key)))
        self.held[key] = bytes(payload)
        return True

    def expect_puts(self, keys):
        pass

    def get_into(self, key, payload, tenant):
        self._engine.device.touch(self._slot(key, payload), "write", "get_into")
        payload[:] = self.held[key]
        return True

    def _slot(self, key, payload):
        address = torch.frombuffer(payload, dtype=torch.uint8).data_ptr()
        chunks = (self._engine.pool.sections(slot, group_of(key))[0] for slot in range(SLOTS))
        return next(chunk for chunk in chunks if chunk.data_ptr() == address)


class Later:
    """The executor's threads: what they are given happens some time, in any order."""

    def __init__(self, random):
        self._random = random
        self.waiting = []

    def __len__(self):
        return len(self.waiting)

    def submit(self, priority, function):
        future = Future()
        self.waiting.append(lambda: future.set_result(function()))
        return future

    def widen(self, threads):
        """There is no number of threads here."""

    def write_behind(self, write, drop, limit, name):
        return Queue(self.waiting, write)

    def do_some(self):
        for _ in range(self._random.randint(0, 2)):
            if self.waiting:
                self.waiting.pop(self._random.randrange(len(self.waiting)))()


class Queue:
    """What is offered to it happens among the rest of ``waiting``."""

    def __init__(self, waiting, write):
        self._waiting, self._write = waiting, write

    def __len__(self):
        return len(self._waiting)

    def waiting(self):
        return []

    def offer(self, item):
        self._waiting.append(lambda: self._write(item))
