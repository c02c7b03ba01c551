"""A clock that a test sets, for code that is given its clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FakeClock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s
