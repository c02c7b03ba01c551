"""Finds the worker's connector where vLLM's scheduler and worker share a process.

In a process of its own, vLLM steps an engine until no connector has pending work. In the caller's
process it doesn't: a sleep, a reset or the shutdown may follow the last answer without another step.
Then the scheduler's side hands what is left to save to the worker's side directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from vllm.distributed.kv_transfer import get_kv_transfer_group, has_kv_transfer_group

if TYPE_CHECKING:
    from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorBase_V1

Connector = TypeVar("Connector", bound="KVConnectorBase_V1")


def workers(kind: type[Connector]) -> list[Connector]:
    """Return the connectors of ``kind`` of a worker in this process; a MultiConnector has several."""
    if not has_kv_transfer_group():
        return []
    group = get_kv_transfer_group()
    return [child for child in getattr(group, "sub_connectors", [group]) if isinstance(child, kind)]
