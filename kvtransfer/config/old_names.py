"""Accepts renamed values under their old name for one release, with a warning."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kvtransfer.policies import OLD_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kvtransfer.config.sourced import Value


def current_policy(name: str) -> str:
    """The present name of the eviction policy ``name``, in lower case."""
    return OLD_NAMES.get(name.lower(), name.lower())


def warn_of_old_names(values: Mapping[str, Value], tell: Callable[[int, str], object]) -> None:
    """Call ``tell`` with a log level and a sentence if the eviction policy has an old name."""
    policy = values.get("eviction_policy")
    if policy is None or not isinstance(policy.value, str) or policy.value.lower() not in OLD_NAMES:
        return
    tell(
        logging.WARNING,
        f"{policy.source} ({policy.value!r}): this eviction policy is now called "
        f"{current_policy(policy.value)!r}; write that, as the next release refuses the old name",
    )
