"""Checks what servers say about where servers are, before redis-py believes it.

redis-py loops over such replies: a wrong type would end a thread, and a wrong number would keep it
busy for hours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError, InvalidResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SLOTS = 16384
_FLAGS = ("is_master", "is_sdown", "is_odown")


def read_slots(reply: object, **_: object) -> list[list[Any]]:
    """Read the ranges in the reply to CLUSTER SLOTS: first, last, master, and named replicas.

    Raises:
        InvalidResponse: the reply isn't one that a cluster may give.
    """
    ranges = [_slot_range(each) for each in _list_of(reply, at_least=0)]
    if sum(last - first + 1 for first, last, *_ in ranges) > _SLOTS:
        raise InvalidResponse("CLUSTER SLOTS names a slot twice")
    return ranges


def checked_masters(read: Callable[..., object]) -> Callable[..., dict[str, Mapping[str, Any]]]:
    """Wrap ``read``, redis-py's reader of SENTINEL MASTERS, to leave out malformed masters.

    The wrapped reader raises ConnectionError for a reply that isn't a list of masters; redis-py
    then asks the next Sentinel.
    """

    def read_masters(reply: object, **options: object) -> dict[str, Mapping[str, Any]]:
        try:
            masters = read(reply, **options)
        except Exception as error:
            raise ConnectionError("the reply to SENTINEL MASTERS makes no sense") from error
        if not isinstance(masters, dict):
            raise ConnectionError("the reply to SENTINEL MASTERS makes no sense")
        return {name: state for name, state in masters.items() if _is_master(state)}

    return read_masters


def _slot_range(each: object) -> list[Any]:
    first, last, master, *replicas = _list_of(each, at_least=3)
    if not (_is_number(first, 0, _SLOTS - 1) and _is_number(last, first, _SLOTS - 1)):
        raise InvalidResponse(f"CLUSTER SLOTS has slots from {first!r} to {last!r}")
    nodes = [_node(node) for node in replicas]
    return [first, last, _node(master), *[node for node in nodes if node[0] not in ("", "?")]]


def _node(node: object) -> list[Any]:
    """Return host and port; an empty host is that of the node which answers."""
    host, port, *_ = _list_of(node, at_least=2)
    text = host.decode("ascii", errors="replace") if isinstance(host, bytes) else host or ""
    if not isinstance(text, str) or not _is_number(port, 1, 65535):
        raise InvalidResponse(f"CLUSTER SLOTS names a node {host!r}:{port!r}")
    return [text, port]


def _list_of(value: object, at_least: int) -> list[Any]:
    if not isinstance(value, list) or len(value) < at_least:
        raise InvalidResponse("the reply to CLUSTER SLOTS makes no sense")
    return value


def _is_master(state: object) -> bool:
    """Whether ``state`` has the fields that redis-py reads, with values that make sense."""
    return (
        isinstance(state, dict)
        and isinstance(state.get("ip"), str)
        and _is_number(state.get("port"), 1, 65535)
        and _is_number(state.get("num-other-sentinels"), 0, 1 << 31)
        and all(isinstance(state.get(flag), bool) for flag in _FLAGS)
    )


def _is_number(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most
