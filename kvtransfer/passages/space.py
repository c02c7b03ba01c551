"""Names the space in which passages are shared: that of one namespace."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_LABEL = b"kvtransfer passages of "


@dataclass(frozen=True)
class Space:
    """Whose passages these are. Nothing of one space is ever found from another."""

    digest: bytes
    """32 bytes; equal in every process for equal namespaces."""

    @classmethod
    def of(cls, namespace: bytes) -> Space:
        """Name the space of requests with this namespace, of which a salt is a part.

        Args:
            namespace: what :func:`kvtransfer.chunks.keys.namespace` returned.
        """
        return cls(hashlib.sha256(_LABEL + namespace).digest())
