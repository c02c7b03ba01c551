"""Tables of limits: the most bytes that a tenant, a model or a namespace may hold. Pure.

A tenant is what :func:`kvtransfer.chunks.keys.tenant_of_salt` makes of a ``cache_salt``. Requests
without a salt belong to the tenant ``""``, which people read and write as ``none``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_SALT = "none"
"""What people call the tenant of requests without a ``cache_salt``."""


def tenant_name(tenant: str) -> str:
    """Return what people call ``tenant``: its digest, or ``none``."""
    return tenant or NO_SALT


@dataclass(frozen=True)
class TenantLimits:
    """The most bytes that each tenant may hold in one place."""

    each_bytes: int | None = None
    """For each ``cache_salt`` that has no limit of its own; None: no limit."""
    named_bytes: Mapping[str, int | None] = field(default_factory=dict)
    """The same for some tenants, by tenant; None: no limit."""

    def of_tenant(self, tenant: str) -> int | None:
        """Return the most bytes that ``tenant`` may hold; None: no limit.

        Requests without a salt are held to no limit but their own: they are all the others, not
        one more tenant.
        """
        return self.named_bytes.get(tenant, self.each_bytes if tenant else None)


@dataclass(frozen=True)
class HostLimits(TenantLimits):
    """Limits on the host memory of one worker."""

    idle_after_s: float = 600.0
    """A tenant that has sent no request for this long has no share any more."""


@dataclass(frozen=True)
class RemoteLimits(TenantLimits):
    """Limits on the remote store, over all engines that share it."""

    models_bytes: Mapping[str, int | None] = field(default_factory=dict)
    """For each model, by its name in the store's keys; None, or a missing one: no limit."""
    namespaces_bytes: Mapping[str, int | None] = field(default_factory=dict)
    """For each value of the setting ``namespace``; None, or a missing one: no limit."""
