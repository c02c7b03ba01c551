"""Fits a straight line to what was seen lately. Pure."""

from __future__ import annotations

from dataclasses import dataclass

# A dozen observations later, one counts for a third: a tier that changes is soon noticed.
_MEMORY = 0.92


@dataclass
class LinearFit:
    """``y`` as a linear function of ``x``, by least squares with exponential forgetting.

    It is never negative, neither at ``x`` = 0 nor in slope: times don't shrink with size.
    """

    from_zero: bool
    """While only one ``x`` was seen: whether ``y`` grows in proportion to ``x`` or is constant."""
    _weight: float = 0.0
    _x: float = 0.0
    _y: float = 0.0
    _xx: float = 0.0
    _xy: float = 0.0
    _line: tuple[float, float] | None = None
    """The slope, and ``y`` at 0; None: to be fitted anew."""

    def observe(self, x: float, y: float, weight: float = 1.0) -> None:
        """See ``y`` at ``x``, as if ``weight`` times."""
        self._weight = self._weight * _MEMORY + weight
        self._x = self._x * _MEMORY + x * weight
        self._y = self._y * _MEMORY + y * weight
        self._xx = self._xx * _MEMORY + x * x * weight
        self._xy = self._xy * _MEMORY + x * y * weight
        self._line = None

    def at(self, x: float) -> float | None:
        """``y`` at ``x``; None before the first observation."""
        if not self._weight:
            return None
        if self._line is None:
            self._line = self._fit()
        slope, start = self._line
        return start + slope * x

    def _fit(self) -> tuple[float, float]:
        mean_x, mean_y = self._x / self._weight, self._y / self._weight
        spread = self._xx / self._weight - mean_x * mean_x
        through_zero = self._xy / self._xx if self._xx else 0.0
        if spread <= 0.01 * mean_x * mean_x:
            return (through_zero, 0.0) if self.from_zero else (0.0, mean_y)
        slope = (self._xy / self._weight - mean_x * mean_y) / spread
        if slope < 0:
            return 0.0, mean_y
        start = mean_y - slope * mean_x
        return (slope, start) if start >= 0 else (through_zero, 0.0)
