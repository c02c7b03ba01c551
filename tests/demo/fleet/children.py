"""Starts :mod:`http_child` as one server of a fleet."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from demo.fleet.child import Child, free_port

PROGRAM = Path(__file__).with_name("http_child.py")
START_S = 60


@dataclass(frozen=True)
class Stub:
    """Started like a vLLM, and answers at once that two tokens of each prompt were cached."""

    name: str
    port: int
    seconds: float = 0.0
    answer: str = "yes"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self, logs):
        arguments = [sys.executable, str(PROGRAM), str(self.port), self.answer, str(self.seconds)]
        return Child(self.name, arguments, f"{self.url}/health", logs / f"{self.name}.log", {})


def started(folder, answer, seconds=0.0):
    """A server that is up, and its URL."""
    stub = Stub(answer, free_port(), seconds, answer)
    child = stub.start(folder)
    child.wait_until_up(START_S)
    return child, stub.url
