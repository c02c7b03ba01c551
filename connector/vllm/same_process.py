"""Where vLLM's scheduler and its worker share a process, the one connector finds the other.

vLLM steps an engine in a process of its own until no connector has anything pending. Called in the
caller's process it does not: after the last answer a sleep, a reset or the shutdown may come without
another step, and what is left to save goes from the one side to the other directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from vllm.distributed.kv_transfer import get_kv_transfer_group, has_kv_transfer_group

if TYPE_CHECKING:
    from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorBase_V1

Connector = TypeVar("Connector", bound="KVConnectorBase_V1")


def workers(kind: type[Connector]) -> list[Connector]:
    """The connectors of ``kind`` that a worker in this process has, several in a MultiConnector."""
    if not has_kv_transfer_group():
        return []
    group = get_kv_transfer_group()
    return [child for child in getattr(group, "sub_connectors", [group]) if isinstance(child, kind)]
