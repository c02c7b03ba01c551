"""Defines scopes, and in which of them an entry counts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.chunks.keys import parse_base_key
from kvtransfer.quotas.limits import tenant_name

if TYPE_CHECKING:
    from kvtransfer.quotas.limits import RemoteLimits


class Scope(NamedTuple):
    """Whose entries count together."""

    kind: str
    """``tenant``, ``namespace`` or ``model``."""
    name: str
    """As people call it; a tenant's is its digest, or ``none``."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @classmethod
    def read(cls, text: str) -> Scope:
        """Invert :meth:`__str__`; a text that isn't one is a scope of no kind."""
        kind, _, name = text.partition(":")
        return cls(kind, name)


@dataclass(frozen=True)
class Limit:
    """The most bytes that the entries of ``scope`` may hold together."""

    scope: Scope
    nbytes: int


@dataclass(frozen=True)
class ScopeLimits:
    """The limits that this engine keeps; ``namespace`` is its own."""

    limits: RemoteLimits
    namespace: str

    def of(self, key: str, tenant: str) -> list[Limit]:
        """Return the limits that hold for the entry of the base key ``key``, the narrowest first."""
        model_name, limits = parse_base_key(key).model_name, self.limits
        by_scope = {
            Scope("tenant", tenant_name(tenant)): limits.of_tenant(tenant),
            Scope("namespace", self.namespace): limits.namespaces_bytes.get(self.namespace),
            Scope("model", model_name): limits.models_bytes.get(model_name),
        }
        return [Limit(scope, nbytes) for scope, nbytes in by_scope.items() if nbytes is not None]

    def of_listed(self, key: str, tenant: str) -> list[Limit]:
        """Return those that a listing tells of: records don't name their namespace."""
        return [limit for limit in self.of(key, tenant) if limit.scope.kind != "namespace"]
