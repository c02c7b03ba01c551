"""Copies of several cache groups, whose layers lie over each other in the same memory."""

from __future__ import annotations

import pytest
import torch

from kvtransfer.chunks.layout import GroupFormats
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.device.cpu import CpuDevice
from kvtransfer.kernels import open_copy
from kvtransfer.worker.copier import Copier
from kvtransfer.worker.copy_path import Calibration, CopyPath
from kvtransfer.worker.group_paths import GroupPaths, SectionPaths
from kvtransfer.worker.host_pool import HostPool
from kvtransfer.worker.lanes import DirectLane, PagesLane, StagedLane, Stages, Streams
from tests.kernels.layouts import patterned, raw, same

SLOTS, BLOCKS, LAYERS = 4, 12, 2
PAGE_BYTES, STATE_BYTES = 1024, 700
"""Of a block in one layer; a state leaves the page's end unused."""
CALIBRATIONS = {
    "as on the CPU": None,
    "direct": Calibration(direct_up_to_bytes=1 << 40),
    "staged": Calibration(direct_up_to_bytes=0, pages_from_bytes=1 << 40),
    "pages": Calibration(direct_up_to_bytes=0, pages_from_bytes=1),
}
ATTENTION, STATES = range(2)


class Bench:
    """One memory of pages: blocks of 8 tokens of attention, or one state each."""

    def __init__(self, calibration):
        device = CpuDevice()
        self.memory = [patterned(torch.uint8, BLOCKS, PAGE_BYTES) for _ in range(LAYERS)]
        attention = [page.view(torch.bfloat16).view(BLOCKS, 4, 8, 16) for page in self.memory]
        states = [
            page.view(torch.int8).as_strided((BLOCKS, 1, 1, STATE_BYTES), (PAGE_BYTES, 1, 1, 1))
            for page in self.memory
        ]
        self.caches = (PagedCaches.split(attention, 16, 8), PagedCaches.content(states, 1))
        forms = tuple(caches.chunk for caches in self.caches)
        self.formats = GroupFormats(forms, main=ATTENTION, chunk_tokens=16)
        self.pool = HostPool(device, self.formats, SLOTS)
        if calibration is None:
            self.copier = Copier.open([[c] for c in self.caches], self.formats, self.pool, device)
            return
        streams, stages = Streams.open(device), Stages(device, self.formats)
        paths = []
        for group, caches in enumerate(self.caches):
            copy = open_copy(caches.planes)
            lanes = {
                CopyPath.DIRECT: DirectLane(copy, streams),
                CopyPath.STAGED: StagedLane(copy, streams, device, stages, group),
                CopyPath.PAGES: PagesLane(caches.planes, streams, device),
            }
            paths.append(GroupPaths([SectionPaths(caches, lanes, calibration)]))
        self.copier = Copier(paths, self.pool, streams)

    def content(self, group, *managers):
        caches = self.caches[group]
        return [plane[caches.kernel_blocks(managers)].clone() for plane in caches.planes]


@pytest.fixture(params=CALIBRATIONS.values(), ids=CALIBRATIONS)
def it(request):
    bench = Bench(request.param)
    yield bench
    bench.copier.close()


def test_pieces_of_both_groups_go_out_and_come_back_through_any_slot(it):
    """More than there are stages, so that each stage holds a piece of either group once."""
    blocks = [(ATTENTION, (0, 1)), (STATES, (2,)), (STATES, (3,)), (ATTENTION, (5, 4))]
    targets = [(6, 7), (8,), (9,), (10, 11)]
    expected = [it.content(group, *managers) for group, managers in blocks]
    saves = [
        it.copier.to_host(managers, slot, [], group)
        for slot, (group, managers) in enumerate(blocks)
    ]
    loads = [
        it.copier.to_device(
            slot, target, 0, filled=[saves[slot]], free=saves, group=blocks[slot][0]
        )
        for slot, target in enumerate(targets)
    ]
    for load in loads:
        load.wait()
        assert load.error is None
    for (group, _), target, planes in zip(blocks, targets, expected, strict=True):
        assert all(map(same, it.content(group, *target), planes))


def test_a_state_is_its_own_bytes_without_the_padding_of_its_page(it):
    before = raw(torch.stack(it.memory))
    it.copier.to_host((2,), 0, [], STATES).wait()
    assert it.formats.formats[STATES].nbytes == LAYERS * STATE_BYTES
    saved = torch.frombuffer(it.pool.payload(0, STATES), dtype=torch.uint8)
    assert torch.equal(saved.view(LAYERS, STATE_BYTES), before[:, 2, :STATE_BYTES])
    it.copier.to_device(0, (9,), 0, filled=[], free=[], group=STATES).wait()
    after = raw(torch.stack(it.memory))
    assert torch.equal(after[:, 9, :STATE_BYTES], before[:, 2, :STATE_BYTES])
    after[:, 9, :STATE_BYTES] = before[:, 9, :STATE_BYTES]
    assert torch.equal(after, before)


def test_a_slot_that_held_a_piece_of_another_group_holds_the_new_one(it):
    expected = it.content(STATES, 3)
    it.copier.to_host((0, 1), 0, [], ATTENTION).wait()
    it.copier.to_host((3,), 0, [], STATES).wait()
    it.copier.to_device(0, (10,), 0, filled=[], free=[], group=STATES).wait()
    assert all(map(same, it.content(STATES, 10), expected))


def test_slots_have_room_for_the_largest_piece(it):
    payloads = [it.pool.payload(slot, group) for slot in range(SLOTS) for group in range(2)]
    assert [len(payload) for payload in payloads[:2]] == [4096, 1400]
    for slot in range(SLOTS):
        it.pool.payload(slot, ATTENTION)[:] = bytes([slot]) * 4096
    for slot in range(SLOTS):
        assert set(it.pool.payload(slot, STATES)) == {slot}
        (state,), (attention,) = (it.pool.sections(slot, group) for group in (STATES, ATTENTION))
        assert state.data_ptr() == attention.data_ptr()
