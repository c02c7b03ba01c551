from dataclasses import asdict

import pytest

from kvtransfer.worker import copy_path
from kvtransfer.worker.copy_path import Calibration, CopyPath

CALIBRATION = Calibration(pages_from_bytes=5000, direct_up_to_bytes=1000)


@pytest.mark.parametrize(
    ("page_bytes", "nbytes", "path"),
    [
        (0, 999, CopyPath.DIRECT),
        (5000, 1000, CopyPath.DIRECT),
        (0, 1001, CopyPath.STAGED),
        (4999, 1 << 30, CopyPath.STAGED),
        (5000, 1 << 30, CopyPath.PAGES),
    ],
)
def test_size_and_pages_decide_a_load(page_bytes, nbytes, path):
    assert CALIBRATION.load_path(page_bytes, nbytes) is path


@pytest.mark.parametrize(
    ("page_bytes", "path"), [(0, CopyPath.STAGED), (4999, CopyPath.STAGED), (5000, CopyPath.PAGES)]
)
def test_pages_decide_a_save(page_bytes, path):
    assert CALIBRATION.save_path(page_bytes) is path
    assert Calibration(trickle_programs=1).save_path(page_bytes) is CopyPath.TRICKLE


def test_what_was_measured_on_a_card_is_used_on_that_card(monkeypatch):
    measured = Calibration(1, 2, 3, 4)
    monkeypatch.setattr(copy_path, "_measured", lambda: {"NVIDIA A": asdict(measured)})
    assert Calibration.of("NVIDIA A") == measured
    assert Calibration.of("NVIDIA B") == Calibration()


def test_the_cards_that_were_measured_are_read_from_the_package():
    assert Calibration.of("NVIDIA H200").trickle_programs == 1
