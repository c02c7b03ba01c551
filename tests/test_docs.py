import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "docs/design.md",
    "docs/redis.md",
    "docs/first-hour.md",
    "docs/recipes.md",
    "docs/metrics.md",
    "CONTRIBUTING.md",
]

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


def references(page):
    """Every ``path`` or ``path::name`` between backquotes or in a link of ``page``."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
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
    found = list(references(page))
    assert found, f"{page} points nowhere: the test no longer reads it"
    for path, name in found:
        assert (ROOT / path).exists(), f"{page} names {path}"
        if name:
            assert name in set(names(ROOT / path)), f"{page} names {path}::{name}"


def test_the_readers_of_a_page_are_not_fooled():
    assert "test_the_readers_of_a_page_are_not_fooled" in set(names(Path(__file__)))
    assert "no_such_name" not in set(names(Path(__file__)))
    assert ("tests/test_packaging.py", "") in set(references("docs/design.md"))
