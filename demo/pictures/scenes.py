"""Lists what the pictures of terminals show: one command, one idea."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.pictures.drawing import drawn
from demo.pictures.stage import DEFAULT_REDIS_PORT, PASSWORD_FILE, REDIS_PORT, VLLM_PORT
from demo.pictures.terminal import screen_of

if TYPE_CHECKING:
    from pathlib import Path

URL = f"redis://127.0.0.1:{REDIS_PORT}/0"
_OTHER_URL = f"redis://127.0.0.1:{DEFAULT_REDIS_PORT}/0"
_VLLM = f"127.0.0.1:{VLLM_PORT}"
ENVIRONMENT = {
    "KVTRANSFER_REMOTE_URL": URL,
    "KVTRANSFER_REMOTE_PASSWORD_FILE": PASSWORD_FILE,
}
_COLUMNS = 100


@dataclass(frozen=True)
class Scene:
    """A command as a person types it after ``kvtransfer``, in a terminal of a width."""

    name: str
    """The picture's file, without its ending."""
    arguments: str
    columns: int = _COLUMNS

    def take(self, folder: Path, pictures: Path) -> None:
        """Run the command in ``folder``, and draw what it printed into the folder ``pictures``."""
        command = [sys.executable, "-m", "kvtransfer", *self.arguments.split()]
        lines = screen_of(command, self.columns, folder, ENVIRONMENT)
        svg = drawn(f"kvtransfer {self.arguments}", lines, self.columns)
        (pictures / f"{self.name}.svg").write_text(svg, encoding="utf-8")


OF_KNOWN_TEXTS = (
    Scene("top", f"top {_VLLM} 127.0.0.1:8001 --interval 5 --count 1"),
    Scene("du", "du"),
    Scene("ls", "ls --limit 8", columns=128),
    Scene("doctor", "doctor"),
    Scene("doctor-findings", f"doctor {_OTHER_URL}"),
    Scene("bench", "bench"),
)
"""While texts are asked about that are cached."""
OF_NEW_TEXTS = (Scene("watch", "watch --interval 5 --count 4"),)
"""While texts are asked about that aren't."""


def of_damage(key: str) -> tuple[Scene, ...]:
    """What is seen once the payload of ``key``, among others, is damaged."""
    return (Scene("verify", "verify"), Scene("show", f"show {key}", columns=110))


REPORT = Scene("report", f"report --instance {_VLLM} --output report.html")
