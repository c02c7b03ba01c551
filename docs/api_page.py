"""Writes ``docs/api.md``, the page of the Python API, from signatures and docstrings.

``python -m docs.api_page`` (or ``make docs``) writes the page. The package is read, not imported, so
neither torch nor Triton has to be installed. ``tests/test_docs.py`` compares the page with this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import griffe

from docs.member_markdown import is_public, markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"

_HEAD = """\
# Python API

Written by `make docs` from the docstrings; edit those. Names that are not on this page are internal and
may change with any version. [design.md](design.md#words) explains the words."""


# A "Returns" section is one description, not a list with one item for each of its lines.
_DOCSTRINGS: griffe.GoogleOptions = {"returns_multiple_items": False, "returns_named_value": False}


@dataclass(frozen=True)
class Part:
    """A section of the page."""

    title: str
    text: str
    names: tuple[str, ...]
    """Dotted names as a caller imports them; of a module, all that it exports."""


PARTS = (
    Part(
        "The library",
        "`examples/quickstart.py` uses all of it in forty lines.",
        (
            "kvtransfer.KVTransfer",
            "kvtransfer.Transfer",
            "kvtransfer.PagedCaches",
            "kvtransfer.chunks.layout.ChunkFormat",
            "kvtransfer.PassageTransfer",
            "kvtransfer.Rotation",
            "kvtransfer.passages.gaps.Blend",
            "kvtransfer.passages.recompute.First",
            "kvtransfer.passages.recompute.Share",
            "kvtransfer.chunk_keys",
            "kvtransfer.chunks.keys.namespace",
        ),
    ),
    Part(
        "Settings",
        "[configuration.md](configuration.md) explains each setting to an operator.",
        ("kvtransfer.TransferConfig",),
    ),
    Part(
        "Prompts",
        "For clients that put prompts together from passages.",
        ("kvtransfer.prompts.arrange",),
    ),
    Part("Errors", "Each error that is raised on purpose.", ("kvtransfer.errors",)),
    Part("Stores", "What keeps chunks beyond host memory.", ("kvtransfer.stores",)),
    Part(
        "Kernels",
        "Copies between paged tensors and contiguous chunks, without the rest of the library.",
        (
            "kvtransfer.kernels.open_copy",
            "kvtransfer.kernels.BlockCopy",
            "kvtransfer.kernels.reference.gather_blocks",
            "kvtransfer.kernels.reference.scatter_blocks",
            "kvtransfer.kernels.paged_copy.PagedCopy",
            "kvtransfer.kernels.host_copy.HostCopy",
        ),
    ),
    Part(
        "Metrics",
        "[metrics.md](metrics.md) lists each of them and says what to watch.",
        ("kvtransfer.metrics.Metrics",),
    ),
)


def page() -> str:
    """The text of the page."""
    package = griffe.load(
        "kvtransfer", search_paths=[ROOT], docstring_parser="google", docstring_options=_DOCSTRINGS
    )
    assert isinstance(package, griffe.Module)
    found = {part: list(_members(package, part)) for part in PARTS}
    known = {member.name for members in found.values() for member, _ in members}
    lines = [_HEAD]
    for part, members in found.items():
        lines += [f"## {part.title}", part.text]
        for member, imported_as in members:
            lines += markdown(member, imported_as)
    return _linked("\n\n".join(lines), known).rstrip() + "\n"


def _members(package: griffe.Module, part: Part) -> Iterator[tuple[griffe.Object, str]]:
    for name in part.names:
        member = _find(package, name)
        if isinstance(member, griffe.Module):
            for inner in member.exports or _public(member):
                yield _find(package, f"{name}.{inner}"), f"{name}.{inner}"
        else:
            yield member, name


def _find(package: griffe.Module, name: str) -> griffe.Object:
    try:
        member = package[name.removeprefix("kvtransfer.")]
    except KeyError:
        raise SystemExit(f"docs/api_page.py: there is no {name}; mend PARTS") from None
    return member.final_target if isinstance(member, griffe.Alias) else member


def _public(module: griffe.Module) -> list[str]:
    return [name for name, member in module.members.items() if is_public(member)]


def _linked(text: str, known: set[str]) -> str:
    """The first mention of another name of the page in a paragraph leads there."""
    blocks = text.split("\n\n")
    return "\n\n".join(
        block if block.startswith(("#", "```", "`from")) else _with_links(block, known)
        for block in blocks
    )


def _with_links(block: str, known: set[str]) -> str:
    def link(found: re.Match[str]) -> str:
        name = found[1]
        return f"[`{name}`](#{name.lower()})" if name in known else found[0]

    return re.sub(r"(?<!\[)`(\w+)`", link, block)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
