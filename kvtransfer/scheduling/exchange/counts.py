"""Counts what an exchange does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class ExchangeCounts:
    """What an exchange has done since it was opened; one thread writes each count."""

    published: int = 0
    """Sequences announced."""
    repeated: int = 0
    """Sequences that weren't announced because they were announced or learned lately."""
    dropped: int = 0
    """Sequences that weren't announced because the queue was full."""
    unsent: int = 0
    """Sequences that weren't announced because the store took nothing."""
    learned: int = 0
    """Sequences read that are new here."""
    overflowed: int = 0
    """Learned sequences that weren't taken in time, and were dropped."""
    malformed: int = 0
    """Sequences that can't be announced, and announcements that can't be read."""

    def by_metric(self) -> dict[str, int]:
        """The counts under the names of :data:`kvtransfer.metrics.COUNTERS`."""
        return {
            "announced_sequences": self.published,
            "learned_sequences": self.learned,
            "lost_announcements": self.dropped + self.unsent + self.overflowed + self.malformed,
        }
