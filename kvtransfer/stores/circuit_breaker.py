"""Decides when to stop asking a store that fails, and when to try it again. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BreakerSettings:
    """How soon a circuit breaker opens, and how long it then waits before each probe."""

    failures_to_open: int = 3
    """Failures in a row that open it."""
    first_cooldown_s: float = 0.5
    longest_cooldown_s: float = 30.0


class CircuitBreaker:
    """Lets every call through while it is closed, none while open, and one probe while half-open.

    It opens after ``failures_to_open`` failures in a row, and is half-open after each cooldown. The
    cooldown doubles with each failed probe, up to ``longest_cooldown_s``. A probe that never
    reports is followed by another one after the cooldown. Callers tell it the time and the
    outcomes, and hold a lock where several threads use it.
    """

    def __init__(self, settings: BreakerSettings | None = None) -> None:
        self._settings = settings or BreakerSettings()
        self._failures = 0
        self._probing = False
        self._cooldown_s = self._settings.first_cooldown_s
        self._next_probe_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open or half-open."""
        return self._failures >= self._settings.failures_to_open

    def allows(self, now_s: float) -> bool:
        """Whether to make a call now; then report its outcome to ``succeeded`` or ``failed``."""
        if not self.is_open:
            return True
        if now_s < self._next_probe_s:
            return False
        self._probing = True
        self._next_probe_s = now_s + self._cooldown_s
        return True

    def succeeded(self) -> None:
        """Note that a call was answered, and close the breaker."""
        self._failures = 0
        self._probing = False
        self._cooldown_s = self._settings.first_cooldown_s

    def failed(self, now_s: float) -> None:
        """Note that a call was not answered."""
        if self.is_open and not self._probing:
            return  # the call began before the breaker opened
        if self._probing:
            self._cooldown_s = min(2 * self._cooldown_s, self._settings.longest_cooldown_s)
        self._failures += 1
        self._probing = False
        self._next_probe_s = now_s + self._cooldown_s
