"""The pictures of the pages: each is used, each that is used is there, and each is told in words."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs import diagrams

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
COMMITTED = sorted(path.name for path in FOLDER.iterdir() if path.suffix != ".json")  # its figures
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MOST_BYTES = 150_000
SHORT_WORDS = 6
PATHS = re.compile(r"/(?:home|root|tmp|var|work|Users|opt|mnt)\b")


def used():
    """Each picture of a page but the diagrams: its place in the repository, and the words beside it."""
    for page in PAGES:
        for words, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", page.read_text()):
            if target not in diagrams.PICTURES:
                yield (page.parent / target).resolve(), words


def drawings():
    return [name for name in COMMITTED if name.endswith(".svg")]


def test_each_picture_is_used_and_is_there():
    assert sorted({path.name for path, _ in used()}) == COMMITTED
    assert [path for path, _ in used() if path.parent != FOLDER] == []


def test_words_say_what_is_to_be_seen():
    assert [words for _, words in used() if len(words.split()) < SHORT_WORDS] == []


@pytest.mark.parametrize("name", COMMITTED)
def test_a_page_with_pictures_stays_light(name):
    assert (FOLDER / name).stat().st_size < MOST_BYTES


@pytest.mark.parametrize("name", drawings())
def test_a_drawing_needs_nothing_from_elsewhere_and_names_no_folder(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.get("viewBox")
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not PATHS.search(text)


@pytest.mark.parametrize("name", drawings())
def test_no_line_of_a_terminal_is_cut(name):
    assert "…" not in (FOLDER / name).read_text(encoding="utf-8")
    assert "Traceback" not in (FOLDER / name).read_text(encoding="utf-8")
