"""Judges what a store has answered, and a sample of what it holds. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.operate.doctor.finding import Finding, Level
from kvtransfer.operate.verification import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.operate.verification import Findings


def judge_sample(found: Findings) -> Iterator[Finding]:
    """Yield what is wrong with the entries that were read."""
    damaged, sealed = found.counts[Verdict.DAMAGED], found.counts[Verdict.SEALED]
    if damaged:
        yield Finding(
            Level.COSTLY,
            "damaged",
            f"{damaged} of {found.entries} entries that were read are damaged; each is a miss",
            "run kvtransfer verify --repair",
        )
    if sealed:
        yield Finding(
            Level.COSTLY,
            "other-key",
            f"{sealed} of {found.entries} entries that were read are sealed by another key; here "
            "they are misses",
            "give all instances the same key files, or clear the store",
        )


def judge_round_trip(came_back: int, sent: int) -> Iterator[Finding]:
    """Yield what is wrong where ``sent`` chunks were put and ``came_back`` of them were read again."""
    if came_back < sent:
        yield Finding(
            Level.BROKEN,
            "round-trip",
            f"{sent} chunks were put, and {came_back} could be read again",
            "look at the rights of this user, and at the server's memory",
        )


def judge_failure(error: str) -> Finding:
    """Make the finding for a store that doesn't answer."""
    return Finding(Level.BROKEN, "store", error, "mend that; until then every chunk is computed")


def judge_unlisted(error: str) -> Finding:
    """Make the finding for a store that serves chunks, and doesn't list its entries."""
    return Finding(
        Level.COSTLY,
        "unlisted",
        f"no entry could be looked at: {error}",
        "run doctor as a user who may list entries; engines need not",
    )
