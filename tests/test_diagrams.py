"""The pictures of ``docs/how-it-works.md``: drawn by the code, shown on the page, and self-contained."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from docs import diagrams

PAGE = (diagrams.FOLDER / "how-it-works.md").read_text(encoding="utf-8")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", diagrams.PICTURES)
def test_the_file_is_what_the_code_draws(name):
    committed = (diagrams.FOLDER / name).read_text(encoding="utf-8")
    assert committed == diagrams.PICTURES[name]().svg(), "run `make docs`"


@pytest.mark.parametrize("name", diagrams.PICTURES)
def test_nothing_is_fetched_from_elsewhere(name):
    text = (diagrams.FOLDER / name).read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in text
    assert "@import" not in text


@pytest.mark.parametrize("name", diagrams.PICTURES)
def test_everything_lies_inside(name):
    root = ElementTree.parse(diagrams.FOLDER / name).getroot()
    width, height = int(root.get("width")), int(root.get("height"))
    for box in root.iter(f"{SVG}rect"):
        left, top = int(box.get("x")), int(box.get("y"))
        assert left >= 0 <= top
        assert left + int(box.get("width")) <= width
        assert top + int(box.get("height")) <= height
    for text in root.iter(f"{SVG}text"):
        assert 0 < int(text.get("y")) < height


def test_each_picture_is_on_the_page_with_words_for_those_who_cannot_see_it():
    shown = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", PAGE)
    assert [name for _, name in shown] == list(diagrams.PICTURES)
    assert all(len(words) > 40 for words, _ in shown)
