"""Picks entries by what their records say. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.quotas.limits import tenant_name

if TYPE_CHECKING:
    from kvtransfer.stores.interface import StoredEntry


@dataclass(frozen=True)
class Selection:
    """Entries that have all that is asked; without anything asked, all entries."""

    model: str | None = None
    """Name of the model, whole."""
    codec: str | None = None
    """Name of the codec that wrote the payload."""
    dtype: str | None = None
    older_than_s: float | None = None
    """Least age, by the clock of the writer."""
    tenant: str | None = None
    """The tenant as people call it."""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is asked."""
        return self == Selection()

    def has(self, entry: StoredEntry, now_s: float) -> bool:
        """Whether ``entry`` is one of them; ``now_s`` is in seconds since 1970."""
        identity = entry.identity
        said = [
            (self.model, identity.model_name),
            (self.codec, identity.format),
            (self.dtype, identity.dtype),
            (self.tenant, tenant_name(identity.tenant)),
        ]
        if any(asked not in (None, is_there) for asked, is_there in said):
            return False
        return self.older_than_s is None or now_s - entry.created_s >= self.older_than_s
