"""Which way a copy goes, decided from its size and how far apart its bytes lie."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files


class CopyPath(Enum):
    """The ways between blocks and a slot."""

    DIRECT = "direct"
    """A kernel reads the one and writes the other: nothing to set up, but it crosses the bus in
    small pieces and holds multiprocessors while it does. For small loads."""
    TRICKLE = "trickle"
    """The same by so few programs that the bus never fills: for saves, which nobody waits for.
    Programs that fill it make the model's wait for memory, twice as long on an H200."""
    STAGED = "staged"
    """A kernel between blocks and device memory, and one copy by a copy engine a chunk."""
    PAGES = "pages"
    """The copy engine takes every block of every plane by itself: no kernel, no staging."""


@dataclass(frozen=True)
class Calibration:
    """Where one path overtakes another on a kind of device."""

    pages_from_bytes: int = 1 << 20
    """Pages at least so large go by themselves. Below, a call of the copy engine outweighs it."""
    direct_up_to_bytes: int = 4 << 20
    """Loads at most so large are over before two hand-overs would be."""
    programs: int = 8
    """Of a kernel: at most so many multiprocessors."""
    trickle_programs: int = 0
    """Of a kernel that saves straight to host memory; 0: saves are staged, as nobody measured."""

    @classmethod
    def of(cls, device_name: str) -> Calibration:
        """As measured on such a device by ``make gpu``, or what published figures suggest."""
        return cls(**_measured().get(device_name, {}))

    def save_path(self, page_bytes: int) -> CopyPath:
        """Of blocks that are contiguous pages of ``page_bytes`` each (0: they aren't)."""
        return CopyPath.TRICKLE if self.trickle_programs else self._large(page_bytes)

    def load_path(self, page_bytes: int, nbytes: int) -> CopyPath:
        """Of ``nbytes`` in all, into such blocks."""
        return CopyPath.DIRECT if nbytes <= self.direct_up_to_bytes else self._large(page_bytes)

    def _large(self, page_bytes: int) -> CopyPath:
        return CopyPath.PAGES if page_bytes >= self.pages_from_bytes else CopyPath.STAGED


def _measured() -> dict[str, dict[str, int]]:
    text = files("kvtransfer").joinpath("calibrations.json").read_text(encoding="utf-8")
    measured: dict[str, dict[str, int]] = json.loads(text)
    return measured
