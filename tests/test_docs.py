import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from docs import api_page
from kvtransfer import TransferConfig

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"))
)

PLACE = re.compile(r"[\w.-]+(?:/[\w.-]+)*/[\w.-]*|[\w-]+\.(?:py|md|toml|yaml)")
FOLDERS = (
    "kvtransfer",
    "kernels",
    "connector",
    "stores",
    "tests",
    "benchmarks",
    "examples",
    "demo",
    "docs",
    "scripts",
)


def without_blocks(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def references(page):
    """Every ``path`` or ``path::name`` between backquotes or in a link of ``page``."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = without_blocks(text)
    quoted = re.findall(r"`([^`\n]+)`", text)
    linked = re.findall(r"\]\(([^)#\s]+)", text)
    for reference in [*quoted, *linked]:
        path, _, name = reference.partition("::")
        if path.split("/")[0] in FOLDERS and "/" in path and PLACE.fullmatch(path):
            yield path, name


def names(path):
    """Names that a Python file defines, methods as ``Class.method``."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef():
                yield node.name
                yield from (
                    f"{node.name}.{x.name}" for x in node.body if isinstance(x, ast.FunctionDef)
                )
                yield from (x.name for x in node.body if isinstance(x, ast.FunctionDef))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name


@pytest.mark.parametrize("page", PAGES)
def test_every_path_and_name_in_a_page_is_there(page):
    for path, name in references(page):
        assert (ROOT / path).exists(), f"{page} names {path}"
        if name:
            assert name in set(names(ROOT / path)), f"{page} names {path}::{name}"


def anchors(text):
    """What GitHub calls the headings of a page: the second "Load" is ``load-1``."""
    seen = Counter()
    for heading in re.findall(r"^#+ (.+)$", without_blocks(text), re.MULTILINE):
        plain = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        yield f"{slug}-{seen[slug]}" if seen[slug] else slug
        seen[slug] += 1


def broken_links(page):
    """Links of ``page`` to a file or a heading that isn't there; addresses elsewhere are not tried."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", without_blocks(text)):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (
            anchor and anchor not in set(anchors(target.read_text(encoding="utf-8")))
        ):
            yield link


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_every_link_leads_somewhere(page):
    assert not list(broken_links(page))


def test_a_broken_link_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# A `b.c` d\n\n## Twice\n\n## Twice\n")
    links = ["gone.md", "other.md#gone", "#gone", "other.md#a-bc-d", "other.md#twice-1", "#here"]
    text = "# Here\n" + "".join(f"[x]({link})\n" for link in links) + "```\n[x](gone)\n```\n"
    (tmp_path / "page.md").write_text(text)
    assert list(broken_links("page.md")) == ["gone.md", "other.md#gone", "#gone"]


def test_the_api_page_is_what_the_docstrings_say():
    assert api_page.PAGE.read_text(encoding="utf-8") == api_page.page(), "run `make docs`"


def test_every_page_is_reached_from_the_readme_or_the_design():
    linked = {
        (ROOT / page).parent.joinpath(link).resolve()
        for page in ("README.md", "docs/design.md")
        for link in re.findall(r"\]\(([^)#\s]+)", (ROOT / page).read_text(encoding="utf-8"))
    }
    assert set((ROOT / "docs").glob("*.md")) <= linked


def test_the_readme_shows_settings_by_name_and_default():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|([^|]*)\|", section, re.MULTILINE)
    assert rows
    for names, default in rows:
        for name in re.findall(r"`(\w+)`", names):
            field = TransferConfig.model_fields[name]
            if default.strip():
                assert default.strip() == str(field.default).lower(), name


def test_the_readers_of_a_page_are_not_fooled():
    assert "test_the_readers_of_a_page_are_not_fooled" in set(names(Path(__file__)))
    assert "no_such_name" not in set(names(Path(__file__)))
    assert ("tests/test_packaging.py", "") in set(references("docs/design.md"))
