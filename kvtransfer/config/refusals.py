"""Writes the sentence in which a setting's value is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.urls import masked

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from kvtransfer.config.sourced import Value

_WANTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "finite_number": "a finite number",
    "string_too_short": "a text that isn't empty",
}


def refusal(value: Value, name: str, error: ErrorDetails) -> str:
    """One sentence about a refused value: where it stands, the value, and what to write instead.

    Args:
        value: the refused value and its source.
        name: the setting.
        error: what pydantic found wrong with it.
    """
    shown = _shown(value.value)
    said = f"{value.source}={shown}" if value.source == name else f"{value.source} ({shown})"
    kind, context = error["type"], error.get("ctx", {})
    if kind == "command":  # an argument of it may be a secret
        return f"{value.source}: {name} must be {error['msg']}"
    bounds = {"greater_than_equal": "at least {ge}", "greater_than": "more than {gt}"}
    if kind in bounds:
        wanted = bounds[kind].format(**context)
    elif kind == "less_than_equal":
        wanted = f"at most {context['le']}"
    elif kind == "value_error":
        return f"{said}: {name} is not known; {context['error']}"
    else:
        wanted = _WANTED.get(kind, error["msg"])
    return f"{said}: {name} must be {wanted}"


def _shown(value: object) -> str:
    """A refused value, without the text before its last ``@``, which may be a password.

    It hides more than :func:`masked`, because a refused value need not look like a URL.
    """
    text = masked(value if isinstance(value, str) else repr(value))
    before, at, after = text.rpartition("@")
    scheme, colon, _ = before.rpartition("://")
    hidden = f"{scheme}{colon}***@{after}" if at else text
    return repr(hidden) if isinstance(value, str) else hidden
