"""How much a tenant, a model or a namespace may hold, and which tenant gives way when room is short."""

from kvtransfer.quotas.limits import NO_SALT, HostLimits, RemoteLimits, tenant_name
from kvtransfer.quotas.quotas_file import Quotas

__all__ = ["NO_SALT", "HostLimits", "Quotas", "RemoteLimits", "tenant_name"]
