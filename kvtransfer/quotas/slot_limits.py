"""Limits on host memory in slots, which is how the scheduler counts it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.quotas.limits import tenant_name

if TYPE_CHECKING:
    from kvtransfer.quotas.limits import HostLimits


@dataclass(frozen=True)
class SlotLimits:
    """How many of ``slots`` slots each tenant may hold."""

    slots: int
    slot_bytes: int
    host: HostLimits

    def __post_init__(self) -> None:
        """Refuse a limit that holds nothing.

        Raises:
            ConfigError: a limit is less than a slot.
        """
        limits = {"each_tenant": self.host.each_bytes}
        limits |= {tenant_name(tenant): limit for tenant, limit in self.host.named_bytes.items()}
        for name, limit in limits.items():
            if limit is not None and limit < self.slot_bytes:
                raise ConfigError(
                    f"quotas_file: host lets {name} hold {limit / 2**30:.4g} GiB, less than one chunk "
                    f"of {self.slot_bytes / 2**30:.4g} GiB; give it room for some tens"
                )

    def of_tenant(self, tenant: str) -> int:
        """Return the most slots that ``tenant`` may hold, at most all of them."""
        limit = self.host.of_tenant(tenant)
        return self.slots if limit is None else min(self.slots, limit // self.slot_bytes)
