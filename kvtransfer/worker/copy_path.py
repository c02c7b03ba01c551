"""Chooses the lane of a copy, from its size and from how its bytes lie in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files


class CopyPath(Enum):
    """Names the lanes between blocks and a slot."""

    DIRECT = "direct"
    """A kernel reads one side and writes the other. Nothing has to be set up, but the bytes cross
    the bus in small pieces and the kernel holds multiprocessors meanwhile. Good for small loads."""
    TRICKLE = "trickle"
    """As DIRECT, with too few programs to fill the bus. Good for saves, which no request waits for:
    on an H200 a full bus makes the model's kernels wait twice as long for memory."""
    STAGED = "staged"
    """A kernel copies between blocks and a stage in device memory, and a copy engine moves each
    chunk between its stage and its slot in one piece."""
    PAGES = "pages"
    """The copy engine moves each block of each plane on its own, without a kernel or a stage."""


@dataclass(frozen=True)
class Calibration:
    """The sizes at which one path overtakes another on one kind of device."""

    pages_from_bytes: int = 1 << 20
    """The smallest contiguous page that the copy engine moves on its own. For a smaller one the
    call costs more than the copy."""
    direct_up_to_bytes: int = 4 << 20
    """The largest load that goes DIRECT: it ends before two hand-overs between streams would."""
    programs: int = 8
    """How many programs a kernel runs, each on a multiprocessor."""
    trickle_programs: int = 0
    """How many programs a TRICKLE kernel runs. 0 stages the saves, as on a card that was not
    measured."""

    @classmethod
    def of(cls, device_name: str) -> Calibration:
        """Return what ``make gpu`` measured on such a device, else what published figures suggest."""
        return cls(**_measured().get(device_name, {}))

    def save_path(self, page_bytes: int) -> CopyPath:
        """Return the path of a save from pages of ``page_bytes`` (0: blocks are not contiguous)."""
        return CopyPath.TRICKLE if self.trickle_programs else self._large(page_bytes)

    def load_path(self, page_bytes: int, nbytes: int) -> CopyPath:
        """Return the path of a load of ``nbytes`` into pages of ``page_bytes`` each."""
        return CopyPath.DIRECT if nbytes <= self.direct_up_to_bytes else self._large(page_bytes)

    def _large(self, page_bytes: int) -> CopyPath:
        return CopyPath.PAGES if page_bytes >= self.pages_from_bytes else CopyPath.STAGED


def _measured() -> dict[str, dict[str, int]]:
    text = files("kvtransfer").joinpath("calibrations.json").read_text(encoding="utf-8")
    measured: dict[str, dict[str, int]] = json.loads(text)
    return measured
