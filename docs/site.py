"""Builds the pages as a site: ``python -m docs.site FOLDER``.

README, CHANGELOG and CONTRIBUTING, which stand above this folder, become pages beside the others, and
links between them are turned. Links to code lead nowhere in a site, so their texts stay.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
ABOVE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
ASSETS = ("*.md", "*.json", "*.yml", "*.svg", "*.css")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_NAMED_BLOCK = re.compile(r"^( *```\w+) (\S+)$", re.MULTILINE)


def main() -> int:
    """Build the site in the folder that is named; return the exit status."""
    if len(sys.argv) != 2:
        print("name the folder for the site: python -m docs.site FOLDER", file=sys.stderr)
        return 2
    return build(Path(sys.argv[1]))


def build(folder: Path) -> int:
    """Build the site in ``folder``, which is replaced; every broken link is an error."""
    with TemporaryDirectory(prefix="kvtransfer-site-") as name:
        staged = Path(name)
        shutil.copy(ROOT / "docs" / "mkdocs.yml", staged)
        stage(staged / "pages")
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
        where = ["--config-file", f"{staged}/mkdocs.yml", "--site-dir", str(folder.resolve())]
        return subprocess.run([*command, *where], check=False).returncode


def stage(pages: Path) -> None:
    """Put all pages into the folder ``pages``, with links that lead from one to another."""
    pages.mkdir()
    for pattern in ASSETS:
        for path in (ROOT / "docs").glob(pattern):
            shutil.copy(path, pages)
    shutil.copytree(ROOT / "docs" / "pictures", pages / "pictures")
    for above, name in ABOVE.items():
        shutil.copy(ROOT / above, pages / name)
    there = {str(path.relative_to(pages)) for path in pages.rglob("*")}
    for page in pages.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(titled(turned(text, there)), encoding="utf-8")


def turned(text: str, there: set[str]) -> str:
    """Return ``text`` with links to pages that are ``there``, and without those to anything else."""

    def one(match: re.Match[str]) -> str:
        shown, target = match[1], match[2]
        if target.startswith(("#", "https://", "http://")):
            return match[0]
        path, mark, anchor = target.partition("#")
        name = path.removeprefix("../").removeprefix("docs/")
        name = ABOVE.get(name, name)
        return f"[{shown}]({name}{mark}{anchor})" if name in there else shown

    return _LINK.sub(one, text)


def titled(text: str) -> str:
    """Return ``text`` with the second word that opens a block of code, its name, as its title."""
    return _NAMED_BLOCK.sub(r'\1 title="\2"', text)


if __name__ == "__main__":
    sys.exit(main())
