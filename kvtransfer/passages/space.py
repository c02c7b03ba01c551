"""Names the space in which passages are shared: equal namespaces and the same tenant."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_LABEL = b"kvtransfer passages of "
SPACE_BYTES = 32


@dataclass(frozen=True)
class Space:
    """Whose passages these are. Nothing of one space is ever found from another."""

    digest: bytes
    """32 bytes; equal in every process for equal namespaces and tenants."""
    tenant: str = ""
    """The tenant, with which the keys end inside a process; empty if there is none."""

    @classmethod
    def of(cls, namespace: bytes, tenant: str = "") -> Space:
        """Name the space of requests with this namespace and tenant.

        Args:
            namespace: what :func:`kvtransfer.chunks.keys.namespace` returned.
            tenant: what :func:`kvtransfer.chunks.keys.tenant_of_salt` returned.
        """
        facts = hashlib.sha256(namespace).digest()
        return cls(hashlib.sha256(_LABEL + facts + tenant.encode()).digest(), tenant)
