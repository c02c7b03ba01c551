"""The lanes on real memory; that their order is right is ``tests/device/test_ordering.py``'s."""

import pytest
import torch

from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.device.cpu import CpuDevice
from kvtransfer.kernels import open_copy
from kvtransfer.worker.copier import Copier
from kvtransfer.worker.copy_path import Calibration, CopyPath
from kvtransfer.worker.group_paths import GroupPaths, SectionPaths
from kvtransfer.worker.host_pool import HostPool
from kvtransfer.worker.lanes import DirectLane, PagesLane, StagedLane, Stages, Streams
from tests.kernels.layouts import patterned, same

SLOTS = 3


class Bench:
    def __init__(self, calibration=None, lanes=None):
        device = CpuDevice()
        layers = [patterned(torch.bfloat16, 24, 1, 4, 16) for _ in range(2)]
        self.caches = PagedCaches.content(layers, 16, block_tokens=8)
        self.pool = HostPool(device, self.caches.chunk, SLOTS)
        if calibration is None:
            self.copier = Copier.open([[self.caches]], self.caches.chunk, self.pool, device)
            return
        streams, copy = Streams.open(device), open_copy(self.caches.planes)
        lanes = {
            CopyPath.DIRECT: DirectLane(copy, streams),
            CopyPath.TRICKLE: DirectLane(copy, streams),
            CopyPath.STAGED: StagedLane(copy, streams, device, Stages(device, self.caches.chunk)),
            CopyPath.PAGES: PagesLane(self.caches.planes, streams, device),
        }
        self.copier = Copier(
            [GroupPaths([SectionPaths(self.caches, lanes, calibration)])], self.pool, streams
        )

    def blocks(self, *managers):
        return [plane[self.caches.kernel_blocks(managers)].clone() for plane in self.caches.planes]


CALIBRATIONS = {
    "as on the CPU": None,
    "direct": Calibration(direct_up_to_bytes=1 << 40, trickle_programs=1),
    "staged": Calibration(direct_up_to_bytes=0, pages_from_bytes=1 << 40),
    "pages": Calibration(direct_up_to_bytes=0, pages_from_bytes=1),
}


@pytest.mark.parametrize("calibration", CALIBRATIONS.values(), ids=CALIBRATIONS)
def test_chunks_go_out_and_come_back_whole_and_in_part(calibration):
    it = Bench(calibration)
    chunks = [(5, 1), (0, 9), (7, 3), (2, 8), (4, 6)]  # more than there are stages
    for slot, managers in enumerate(chunks[:SLOTS]):
        expected = it.blocks(*managers)
        saved = it.copier.to_host(managers, slot, [])
        loaded = it.copier.to_device(slot, (10, 11), 0, filled=[saved], free=[])
        loaded.wait()
        assert loaded.error is None
        assert all(map(same, it.blocks(10, 11), expected))
        before = it.blocks(11)
        part = it.copier.to_device(slot, (10,), 8, filled=[saved], free=[loaded])
        part.wait()
        assert all(map(same, it.blocks(10), [rows[2:] for rows in expected]))
        assert all(map(same, it.blocks(11), before))
    it.copier.close()


@pytest.mark.parametrize("calibration", CALIBRATIONS.values(), ids=CALIBRATIONS)
def test_many_at_once_keep_apart(calibration):
    it = Bench(calibration)
    expected = [it.blocks(i, i + 1) for i in range(SLOTS)]
    saves = [it.copier.to_host((i, i + 1), i, []) for i in range(SLOTS)]
    loads = [
        it.copier.to_device(i, (6 + 2 * i, 7 + 2 * i), 0, filled=[saves[i]], free=saves)
        for i in range(SLOTS)
    ]
    for load in loads:
        load.wait()
    for i in range(SLOTS):
        assert all(map(same, it.blocks(6 + 2 * i, 7 + 2 * i), expected[i]))
    it.copier.close()


def test_a_failed_copy_is_the_events_and_the_next_one_works():
    it = Bench(CALIBRATIONS["staged"])
    failed = it.copier.to_host((99, 0), 0, [])
    failed.wait()
    assert "not in [0, 12)" in str(failed.error)
    expected = it.blocks(1, 2)
    saved = [it.copier.to_host((1, 2), slot, []) for slot in (0, 1, 2, 0)][-1]
    loaded = it.copier.to_device(0, (4, 5), 0, filled=[saved], free=[])
    loaded.wait()
    assert loaded.error is None
    assert all(map(same, it.blocks(4, 5), expected))
    it.copier.close()


@pytest.mark.parametrize("path", ["staged", "pages", "direct"])
@pytest.mark.parametrize("wrong", [-1, 99])
def test_no_lane_takes_a_block_that_is_none(path, wrong):
    it = Bench(CALIBRATIONS[path])
    before = [plane.clone() for plane in it.caches.planes]
    for refused in (
        it.copier.to_host((wrong, 0), 0, []),
        it.copier.to_device(0, (0, wrong), 0, filled=[], free=[]),
    ):
        refused.wait()
        assert f"block_ids=[{wrong}]" in str(refused.error)
    assert all(same(a, b) for a, b in zip(before, it.caches.planes, strict=True))
    it.copier.close()
