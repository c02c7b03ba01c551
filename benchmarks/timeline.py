"""Records what each thread does while something runs, and shows it as a timeline of text.

A span tells when a call began and ended and what CPU time its thread used meanwhile. The rest of it
was waiting: for a server, for the interpreter's lock, or for a core that a neighbour has.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from threading import current_thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


@dataclass(frozen=True)
class Span:
    """One call on one thread; times are seconds of one clock."""

    stage: str
    thread: str
    begin_s: float
    end_s: float
    cpu_s: float


class Timeline:
    """Collects spans from all threads.

    ``clock`` and ``cpu_clock`` return seconds, the second one those of the calling thread.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._spans: list[Span] = []

    @contextmanager
    def watching(self, calls: Iterable[tuple[type, str, str]]) -> Iterator[None]:
        """Record a span for each call of a method: its class, its name, and the stage that it is."""
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in calls]
        for (owner, name, call), (_, _, stage) in zip(before, calls, strict=True):
            setattr(owner, name, self._recorded(call, stage))
        try:
            yield
        finally:
            for owner, name, call in before:
                setattr(owner, name, call)

    @contextmanager
    def span(self, stage: str) -> Iterator[None]:
        """Record what the body takes."""
        begin_s, cpu_s = self._clock(), self._cpu_clock()
        try:
            yield
        finally:
            end_s, used_s = self._clock(), self._cpu_clock() - cpu_s
            self._spans.append(Span(stage, current_thread().name, begin_s, end_s, used_s))

    def take(self) -> list[Span]:
        """Return the spans since the last call, in the order in which they began, from 0 on."""
        taken, self._spans = sorted(self._spans, key=lambda span: span.begin_s), []
        zero_s = taken[0].begin_s if taken else 0.0
        return [
            Span(each.stage, each.thread, each.begin_s - zero_s, each.end_s - zero_s, each.cpu_s)
            for each in taken
        ]

    def _recorded(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @wraps(call)
        def recorded(*arguments: Any, **options: Any) -> Any:
            with self.span(stage):
                return call(*arguments, **options)

        return recorded


def drawn(spans: Sequence[Span], columns: int = 100) -> list[str]:
    """Draw a line for each thread, from the first begin to the last end.

    A stage is shown by the first letter that no stage before it has, in capitals where its thread
    computed for more than half of the column's part of the span; a dot is nothing that is watched.
    """
    if not spans:
        return []
    letters = _letters(span.stage for span in spans)
    end_s = max(span.end_s for span in spans) or 1e-9
    lines = {span.thread: ["."] * columns for span in spans}
    for span in spans:
        is_computing = span.cpu_s > (span.end_s - span.begin_s) / 2
        letter = letters[span.stage].upper() if is_computing else letters[span.stage]
        first = min(int(span.begin_s / end_s * columns), columns - 1)
        last = min(int(span.end_s / end_s * columns), columns - 1)
        lines[span.thread][first : last + 1] = letter * (last + 1 - first)
    width = max(map(len, lines))
    return [
        f"{'':{width}}  0{f'{end_s * 1e3:.1f} ms':>{columns - 1}}",
        *(f"{thread:{width}}  {''.join(line)}" for thread, line in lines.items()),
        "  ".join(f"{letter} {stage}" for stage, letter in letters.items()),
    ]


def summed(spans: Sequence[Span]) -> dict[str, dict[str, float]]:
    """Sum up each stage: its calls, when it began and ended, what it took and computed, in seconds."""
    stages: dict[str, list[Span]] = {}
    for span in spans:
        stages.setdefault(span.stage, []).append(span)
    return {
        stage: {
            "calls": len(some),
            "begin_s": min(span.begin_s for span in some),
            "end_s": max(span.end_s for span in some),
            "took_s": sum(span.end_s - span.begin_s for span in some),
            "cpu_s": sum(span.cpu_s for span in some),
        }
        for stage, some in stages.items()
    }


def as_json(spans: Sequence[Span]) -> list[dict[str, Any]]:
    """Return the spans as plain data."""
    return [asdict(span) for span in spans]


def _letters(stages: Iterable[str]) -> dict[str, str]:
    letters: dict[str, str] = {}
    for stage in stages:
        if stage not in letters:
            free = (letter for letter in stage + "abcdefghijklmnopqrstuvwxyz")
            letters[stage] = next(each for each in free if each not in letters.values())
    return letters
