"""Pages of the site as a browser shows them, on a desk and on a phone."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demo.pictures.browser import chromium
from docs import site


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NO_MKDOCS_2_WARNING", "1")
        assert site.build(folder) == 0
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("page", "pictures"), [("", 1), ("operate/", 11), ("metrics/", 1), ("how-it-works/", 4)]
)
def test_a_page_fits_and_its_pictures_are_shown(address, page, pictures):
    with chromium() as browser:
        for width in (390, 1280):
            opened, asked, said = browser.new_page(viewport={"width": width, "height": 900}), [], []
            opened.on("request", lambda request, to=asked: to.append(request.url))
            opened.on("console", lambda message, to=said: to.append(message.text))
            opened.goto(f"{address}/{page}", wait_until="networkidle")
            assert [url for url in asked if not url.startswith((address, "data:"))] == []
            assert said == []
            size = opened.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert size == [width, width]
            drawn = opened.locator("article img").evaluate_all("all => all.map(it => it.width)")
            assert len(drawn) == pictures
            assert min(drawn, default=340) >= 340
