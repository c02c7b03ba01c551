"""When to leave a failing store alone, and when to try it again."""

from __future__ import annotations


class Breaker:
    """Lets every call through until ``failures_to_open`` fail in a row, then one probe per rest.

    Pure: it is told the time and the outcomes, and several threads must take turns. A rest begins
    at ``first_rest_s`` and doubles with each failed probe, up to ``longest_rest_s``. A probe that
    never reports is followed by another one after the rest.
    """

    def __init__(
        self,
        *,
        failures_to_open: int = 3,
        first_rest_s: float = 0.5,
        longest_rest_s: float = 30.0,
    ) -> None:
        self._failures_to_open = failures_to_open
        self._first_rest_s = first_rest_s
        self._longest_rest_s = longest_rest_s
        self._failures = 0
        self._probing = False
        self._rest_s = first_rest_s
        self._next_probe_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the store counts as down."""
        return self._failures >= self._failures_to_open

    def allows(self, now_s: float) -> bool:
        """Whether to make a call now; the answer to a probe is owed to ``succeeded``/``failed``."""
        if not self.is_open:
            return True
        if now_s < self._next_probe_s:
            return False
        self._probing = True
        self._next_probe_s = now_s + self._rest_s
        return True

    def succeeded(self) -> None:
        """A call was answered: whatever happened before, the store is well."""
        self._failures = 0
        self._probing = False
        self._rest_s = self._first_rest_s

    def failed(self, now_s: float) -> None:
        """A call was not answered."""
        if self.is_open and not self._probing:
            return  # begun before the breaker opened: says nothing new
        if self._probing:
            self._rest_s = min(2 * self._rest_s, self._longest_rest_s)
        self._failures += 1
        self._probing = False
        self._next_probe_s = now_s + self._rest_s
