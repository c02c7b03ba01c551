"""Finds our tiers in a configuration of vLLM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvtransfer.connector.vllm.early_check import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vllm.config import KVTransferConfig

MODULE = "kvtransfer.connector.vllm.offloading.tier"
COVERED = "covered_by_keys"
"""What :mod:`kvtransfer.connector.vllm.offloading.covered` finds, on its way to the tier."""
_READ_BY_VLLM = ("type", "module_path", "locality", "backpressure", COVERED)


def our_tiers(transfer: KVTransferConfig | None) -> Iterator[dict[str, Any]]:
    """Yield the configuration of each of our tiers, in every OffloadingConnector that there is."""
    for extra in settings(transfer, "OffloadingConnector"):
        for tier in extra.get("secondary_tiers") or ():
            if isinstance(tier, dict) and tier.get("module_path") == MODULE:
                yield tier


def own_settings(tier: dict[str, Any]) -> dict[str, Any]:
    """Return what of a tier's configuration is ours to read."""
    return {name: value for name, value in tier.items() if name not in _READ_BY_VLLM}
