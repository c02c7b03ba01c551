"""Tells whether the environment has credentials; if not, obstore asks the machine for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_BEGINNINGS = {
    "s3": ("AWS_ACCESS_KEY", "AWS_WEB_IDENTITY", "AWS_CONTAINER", "AWS_SKIP"),
    "gs": ("GOOGLE_",),
    "az": ("AZURE_",),
}


def told_of_late_answers(scheme: str, environment: Iterable[str]) -> str:
    """Say why a server may be late, where ``environment`` names the variables that are set."""
    if any(name.startswith(_BEGINNINGS[scheme]) for name in environment):
        return "it didn't answer in time"
    return (
        "it didn't answer in time; no credentials are in the environment, so the machine was asked "
        "for them first"
    )
