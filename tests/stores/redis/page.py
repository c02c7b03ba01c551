"""The examples of docs/redis.md and docs/security.md, which the servers of these tests start with."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "redis.md"
PAGES = (PAGE, DOCS / "security.md")


def text():
    return PAGE.read_text(encoding="utf-8")


def block(name, changes=None):
    """The lines of the block ``name``; each key of ``changes``, longest first, becomes its value."""
    fence = re.compile(rf"^```conf {re.escape(name)}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    (found,) = [block for page in PAGES for block in fence.findall(page.read_text("utf-8"))]
    return filled(found, changes or {}).splitlines()


def url(scheme, changes):
    """The first URL of ``scheme`` in the table, changed likewise."""
    found = re.search(rf"^\| `({re.escape(scheme)}://[^`]+)`", text(), re.MULTILINE)
    assert found, f"{PAGE} has no URL {scheme}://"
    return filled(found[1], changes)


def filled(example, changes):
    for old in sorted(changes, key=len, reverse=True):
        assert old in example, f"{old} is not in {example}"
        example = example.replace(old, str(changes[old]))
    return example
