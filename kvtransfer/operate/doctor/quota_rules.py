"""Judges whether a server can keep the quotas that are set for it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.operate.doctor.finding import Finding, Level
from kvtransfer.operate.quantities import bytes_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kvtransfer.quotas.limits import RemoteLimits
    from kvtransfer.stores.redis.inspection import Inspection


def judge_quotas(found: Inspection, limits: RemoteLimits, refusal: str) -> Iterator[Finding]:
    """Yield what should be changed at the server so that ``limits`` hold.

    ``refusal`` says why it runs no scripts for us; it is empty where it does.
    """
    if refusal:
        yield Finding(
            Level.BROKEN,
            "eval",
            f"the server runs no script for this user ({refusal}), so that quotas can't be kept "
            "and nothing is put",
            "give it the rights that docs/security.md has for engines with quotas",
        )
    promised = max(map(_sum, (limits.named_bytes, limits.models_bytes, limits.namespaces_bytes)))
    maxmemory = int(found.info.get("maxmemory", "0"))
    if 0 < maxmemory < promised:
        yield Finding(
            Level.COSTLY,
            "quota-room",
            f"quotas add up to {bytes_text(promised)}, and maxmemory is {bytes_text(maxmemory)}: "
            "the server evicts without regard to quotas first",
            "raise maxmemory, or lower the quotas in the section remote of quotas_file",
        )


def _sum(limits: Mapping[str, int | None]) -> int:
    return sum(limit or 0 for limit in limits.values())
