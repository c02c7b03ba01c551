"""Asks the master for the names of all values; its client has no call for that."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import parse_base_key
from kvtransfer.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_BYTES = 256 << 20
"""Names of a million entries."""


def stored_names(host: str, port: int, timeout_s: float) -> list[str]:
    """Return the names of all values, ours and others', from the HTTP port of the master.

    Raises:
        StoreError: there is no such answer.
    """
    connection = HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", "/get_all_keys")
        answer = connection.getresponse()
        listed = answer.read(_LONGEST_BYTES)
    except (OSError, HTTPException) as error:
        raise StoreError(f"port {port} lists no keys: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise StoreError(f"port {port} lists no keys: HTTP status {answer.status}")
    return listed.decode(errors="replace").splitlines()


def base_keys(names: Iterable[str]) -> list[str]:
    """Return those ``names`` that are base keys, under which a record may lie."""
    return [name for name in names if _is_base_key(name)]


def _is_base_key(name: str) -> bool:
    try:
        parse_base_key(name)
    except ValueError:
        return False
    return not name.endswith("_bytes")
