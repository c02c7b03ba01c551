"""Defines scopes, and in which of them an entry counts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kvtransfer.chunks.keys import parse_base_key
from kvtransfer.quotas.limits import tenant_name

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class Limits(Protocol):
    """Knows which limits hold for an entry, by its base key and tenant."""

    def of(self, key: str, tenant: str) -> list[Limit]:
        """Return the limits that hold for an entry of ours, the narrowest first."""
        ...

    def of_listed(self, key: str, tenant: str) -> list[Limit]:
        """Return those for an entry in a listing: records don't name their namespace."""
        ...


@dataclass(frozen=True)
class ScopeLimits:
    """The limits that an engine keeps; ``namespace`` is its own. See :class:`Limits`."""

    limits: RemoteLimits
    namespace: str

    def of(self, key: str, tenant: str) -> list[Limit]:
        """See :class:`Limits`."""
        model_name, limits = parse_base_key(key).model_name, self.limits
        by_scope = {
            Scope("tenant", tenant_name(tenant)): limits.of_tenant(tenant),
            Scope("namespace", self.namespace): limits.namespaces_bytes.get(self.namespace),
            Scope("model", model_name): limits.models_bytes.get(model_name),
        }
        return [Limit(scope, nbytes) for scope, nbytes in by_scope.items() if nbytes is not None]

    def of_listed(self, key: str, tenant: str) -> list[Limit]:
        """See :class:`Limits`."""
        return [limit for limit in self.of(key, tenant) if limit.scope.kind != "namespace"]


@dataclass(frozen=True)
class KnownLimits:
    """The limits, in bytes, by which ledgers were last kept; see :class:`Limits`."""

    limits: Mapping[Scope, int]

    def of(self, key: str, tenant: str) -> list[Limit]:
        """See :class:`Limits`; whose namespace an entry belongs to isn't known."""
        return self.of_listed(key, tenant)

    def of_listed(self, key: str, tenant: str) -> list[Limit]:
        """See :class:`Limits`."""
        scopes = (
            Scope("tenant", tenant_name(tenant)),
            Scope("model", parse_base_key(key).model_name),
        )
        return [Limit(scope, self.limits[scope]) for scope in scopes if scope in self.limits]
