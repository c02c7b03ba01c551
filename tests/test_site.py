import re

import yaml

from docs import site


def test_the_site_is_built_without_a_broken_link(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    assert site.build(tmp_path / "site") == 0
    html = (tmp_path / "site" / "index.html").read_text()
    assert 'href="redis/"' in html
    assert re.search(r"<h1[^>]*>kvtransfer", html)
    pages = [page.read_text() for page in (tmp_path / "site").rglob("index.html")]
    assert [page[:200] for page in pages if "<p>```" in page or "\n```" in page] == []
    fetched = re.findall(r'(?:src|href)="(https?://[^"]+)"', html)
    shown = {path.name for path in (tmp_path / "site" / "pictures").iterdir()}
    assert shown == {path.name for path in (site.ROOT / "docs" / "pictures").iterdir()}
    assert [url for url in fetched if "squidfunk" not in url and "keepachangelog" not in url] == []


def test_every_page_has_its_place():
    nav = yaml.safe_load((site.ROOT / "docs" / "mkdocs.yml").read_text())["nav"]
    placed = [page for section in nav for pages in section.values() for page in pages]
    pages = {path.name for path in (site.ROOT / "docs").glob("*.md")} | set(site.ABOVE.values())
    assert sorted(placed) == sorted(pages)


def test_links_are_turned_and_those_to_code_lose_their_target():
    text = "[a](docs/redis.md#x) [b](../README.md#y) [c](kvtransfer/urls.py) [d](#z) [e](https://f)"
    turned = site.turned(text, {"redis.md", "index.md"})
    assert turned == "[a](redis.md#x) [b](index.md#y) c [d](#z) [e](https://f)"


def test_the_name_of_a_block_becomes_its_title():
    text = "```conf redis.conf\nmaxmemory 1\n```\n    ```sh\n"
    assert site.titled(text) == '```conf title="redis.conf"\nmaxmemory 1\n```\n    ```sh\n'
