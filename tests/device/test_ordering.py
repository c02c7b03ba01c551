"""Every hand-over of memory is ordered, on every lane; and the check would see it if one were not."""

import pytest

from kvtransfer.kernels import paged_copy
from kvtransfer.kernels.host_copy import HostCopy
from kvtransfer.kernels.paged_copy import PagedCopy
from tests.device.sim_engine import LANES, SimEngine
from tests.device.simdevice import Mistakes
from tests.kernels.copies import INTERPRETED

SEEDS = {"staged": 200, "groups": 100, "direct": 50, "pages": 50}
SEEDS_A_MISTAKE = 50


@pytest.mark.parametrize("lane", LANES)
def test_no_order_of_events_makes_a_difference(lane):
    for seed in range(SEEDS[lane]):
        SimEngine(seed, lane, HostCopy).run()


@pytest.mark.parametrize("lane", ["staged", "direct"])
def test_the_kernel_itself_touches_what_is_its_own(lane, monkeypatch):
    monkeypatch.setattr(paged_copy, "copy_blocks", INTERPRETED)
    for seed in range(3):
        SimEngine(seed, lane, lambda planes: PagedCopy(planes, programs=1, tile_words=32)).run()


def unordered(before, after):
    return {"mistakes": Mistakes(unordered=frozenset({(before, after)}))}


def unawaited(stream):
    return {"mistakes": Mistakes(unawaited=frozenset({stream}))}


MISTAKES = {
    "a save does not wait for the model": ("staged", unordered("model", "gather")),
    "a copy does not wait for its gather": ("staged", unordered("gather", "to-host")),
    "a stage is gathered into while it is copied": ("staged", unordered("to-host", "gather")),
    "a scatter does not wait for its copy": ("staged", unordered("to-device", "scatter")),
    "a stage is copied into while it is scattered": ("staged", unordered("scatter", "to-device")),
    "a stage is gathered into while another group's is copied": (
        "groups",
        unordered("to-host", "gather"),
    ),
    "a stage is copied into while another group's is scattered": (
        "groups",
        unordered("scatter", "to-device"),
    ),
    "a load writes blocks that are still read": ("staged", unordered("model", "scatter")),
    "a slot is loaded before it is filled": ("staged", unordered("to-host", "to-device")),
    "a slot is put before it is filled": ("staged", unawaited("to-host")),
    "a request runs before it is loaded": ("staged", unawaited("scatter")),
    "blocks are reused while they are saved": ("staged", {"finishes_copies": False}),
    "a direct save does not wait for the model": ("direct", unordered("model", "gather")),
    "a direct load does not wait for readers": ("direct", unordered("model", "scatter")),
    "a direct load does not wait for the save": ("direct", unordered("gather", "scatter")),
    "pages are saved before they are written": ("pages", unordered("model", "to-host")),
    "pages are loaded while they are read": ("pages", unordered("model", "to-device")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_found_whatever_the_seed(mistake):
    lane, options = MISTAKES[mistake]
    for seed in range(SEEDS_A_MISTAKE):
        with pytest.raises(AssertionError):
            SimEngine(seed, lane, HostCopy, **options).run()
