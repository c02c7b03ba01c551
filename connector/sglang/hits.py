"""Finds which prefixes of a request's pages can be restored, as SGLang's pools need. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def leading(found: Sequence[bool]) -> int:
    """Count the pages before the first that wasn't found."""
    return next((i for i, is_found in enumerate(found) if not is_found), len(found))


def all_pages(found: Sequence[bool]) -> list[int]:
    """The prefixes, in pages, that a pool serves which needs every page of them."""
    return list(range(1, leading(found) + 1))


def trailing_pages(found: Sequence[bool], window_pages: int) -> list[int]:
    """The prefixes, in pages, that a pool serves which needs only their last ``window_pages``."""
    served = []
    successive = 0
    for end, is_found in enumerate(found, 1):
        successive = successive + 1 if is_found else 0
        if successive >= min(window_pages, end):
            served.append(end)
    return served
