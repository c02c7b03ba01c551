"""Chooses the eviction policy of host memory: what is configured, else by the model's cache groups."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.chunks.groups import Groups
    from kvtransfer.config import TransferConfig

_LOG = logging.getLogger("kvtransfer")


def eviction_policy(config: TransferConfig, groups: Groups) -> str:
    """The name of the policy: the configured one, or the default for ``groups``.

    ``learned`` values each piece alone, but a window or a state serves nothing without the
    attention before it. So the default is ``lru`` where the model has such groups, unless
    ``admit_chance`` asks for what only ``learned`` knows.
    """
    is_configured = "eviction_policy" in config.model_fields_set or config.admit_chance > 0
    if is_configured or not groups.passing:
        return config.eviction_policy
    _LOG.info(
        "eviction_policy is lru, because the model keeps windows or states; "
        "set eviction_policy to learned or arc for another one"
    )
    return "lru"
