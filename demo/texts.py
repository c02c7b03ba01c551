"""Finds a long real text, a book or a manual, that is already installed on this machine."""

from __future__ import annotations

import importlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


# A token of English has four or five characters; at this many per token no window is too short.
_MOST_CHARACTERS = 12


@dataclass(frozen=True)
class Text:
    """A long text of paragraphs without hard line breaks."""

    title: str
    body: str


def real_text() -> Text:
    """Return Newton's Opticks, or else the Python language reference; the title says which.

    Raises:
        FileNotFoundError: neither is installed.
    """
    text = opticks() or language_reference()
    if text is None:
        raise FileNotFoundError(
            "no long text found: install apache-tvm-ffi (Newton's Opticks is in it)"
            " or a Python that has pydoc_data"
        )
    return text


def opticks() -> Text | None:
    """Return Newton's Opticks, 135,000 tokens: a test file in a package that vLLM needs."""
    spec = importlib.util.find_spec("tvm_ffi")
    if spec is None or spec.origin is None:
        return None
    library = Path(spec.origin).parent / "3rdparty" / "libbacktrace"
    book = library / "Isaac.Newton-Opticks.txt"
    if not book.exists():
        return None
    words = book.read_text(encoding="utf-8")
    start = words.find("DEFINITIONS")  # before it stand title pages and a table of plates
    return Text("Newton's Opticks", unwrap(words[max(start, 0) :]))


def language_reference() -> Text | None:
    """Return the Python language reference, 113,000 tokens, from the standard library."""
    if importlib.util.find_spec("pydoc_data") is None:
        return None
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    articles = (topics[name] for name in sorted(topics))
    return Text("the Python language reference", unwrap("\n\n".join(articles)))


def unwrap(text: str) -> str:
    """Put each paragraph of ``text`` on one line, and keep the blank lines between them."""
    parts = re.split(r"(\n(?:[ \t]*\n)+)", text)  # paragraph, blank lines, paragraph, ...
    parts[::2] = [" ".join(paragraph.split()) for paragraph in parts[::2]]
    return "".join(parts)


def passages(tokenizer: Tokenizer, text: Text, tokens: int, count: int) -> list[list[int]]:
    """Return ``count`` passages of ``tokens`` token ids each, which begin with a paragraph.

    Raises:
        ValueError: the text is too short.
    """
    found: list[list[int]] = []
    start = 0
    while len(found) < count:
        window = text.body[start : start + _MOST_CHARACTERS * tokens]
        encoding = tokenizer.encode(window, add_special_tokens=False)
        if len(encoding.ids) < tokens:
            raise ValueError(
                f"{text.title} holds {len(found)} passages of {tokens} tokens, not {count}"
            )
        found.append(encoding.ids[:tokens])
        end = start + encoding.offsets[tokens - 1][1]
        start = _next_paragraph(text.body, end)
    return found


def _next_paragraph(body: str, end: int) -> int:
    blank = body.find("\n\n", end)
    return len(body) if blank < 0 else blank + 2
