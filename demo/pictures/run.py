"""Takes the pictures of the documentation: ``make pictures``.

``python -m demo.pictures.run [--folder FOLDER]``. Two Redis, a vLLM that computes contexts and one
that restores them, and a Prometheus run on this machine for some minutes. The commands of
:mod:`demo.pictures.scenes` look at them in a terminal, and a headless Chromium opens the report and
the dashboard. The exit status is 2 if the pictures could not be taken.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from demo.fleet.child import ChildError
from demo.fleet.prometheus import START_S, Prometheus
from demo.pictures import stage
from demo.pictures.browser import chromium
from demo.pictures.console import console_page
from demo.pictures.damage import damage
from demo.pictures.scenes import OF_KNOWN_TEXTS, OF_NEW_TEXTS, REPORT, URL, of_damage
from demo.pictures.traffic import ask_all, asking, turns_about
from demo.prompts import Chat
from demo.report import Screen
from demo.smollm2 import model_folder
from demo.texts import real_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from demo.fleet.load import Client

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
_CONTEXT_TOKENS = 3 * stage.CHUNK_TOKENS
_TEXTS = 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Take all pictures; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.pictures.run", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--folder", type=Path, default=PICTURES, help="where the pictures go")
    pictures = parser.parse_args(arguments).folder
    try:
        with ExitStack() as running, TemporaryDirectory() as folder:
            pictures.mkdir(exist_ok=True)
            Session(Screen(Console()), Path(folder), pictures).take_all(running)
    except KeyboardInterrupt:
        return 130
    except (ChildError, OSError, ValueError) as error:
        print(f"pictures: {error}", file=sys.stderr)
        return 2
    return 0


class Session:
    """Takes pictures into the folder ``pictures`` of what runs in ``folder``."""

    def __init__(self, screen: Screen, folder: Path, pictures: Path) -> None:
        self._screen = screen
        self._folder = folder
        self._pictures = pictures
        self._model = model_folder()
        chat = Chat(self._model)
        contexts = chat.contexts(real_text(), _CONTEXT_TOKENS, 2 * _TEXTS)
        self._known = turns_about(chat, contexts[:_TEXTS])
        self._new = turns_about(chat, contexts[_TEXTS:])

    def take_all(self, running: ExitStack) -> None:
        """Start all servers, which end with ``running``, and take the pictures.

        Raises:
            ChildError: a server doesn't come up, or doesn't answer.
            FileNotFoundError: a program is missing.
        """
        password = stage.write_password(self._folder)
        for port, config in (
            (stage.REDIS_PORT, stage.TENDED),
            (stage.DEFAULT_REDIS_PORT, stage.DEFAULT),
        ):
            running.enter_context(stage.redis(self._folder, port, password, config))
        vllm = f"127.0.0.1:{stage.VLLM_PORT}"
        with self._screen.stage("one vLLM computes texts"), self._vllm("naive") as client:
            ask_all(client, self._known[:4])
        prometheus = Prometheus([vllm], stage.PROMETHEUS_PORT, self._folder)
        running.enter_context(prometheus.child)
        prometheus.child.wait_until_up(START_S)
        with self._screen.stage("another one restores them") as detail, ExitStack() as restoring:
            client = restoring.enter_context(self._vllm("lossless"))
            began_s = time.monotonic()
            detail("asked for the first time")
            ask_all(client, self._known)
            detail("pictures of terminals")
            self._take_scenes(client)
            detail("pictures of a browser")
            with asking(client, self._known):
                self._take_pages(prometheus, round(time.monotonic() - began_s))
        for scene in of_damage(damage(URL, password)):
            scene.take(self._folder, self._pictures)

    def _vllm(self, codec: str) -> AbstractContextManager[Client]:
        return stage.vllm(self._folder, self._model, codec)

    def _take_scenes(self, client: Client) -> None:
        for turns, scenes in ((self._known, OF_KNOWN_TEXTS), (self._new, OF_NEW_TEXTS)):
            with asking(client, turns):
                for scene in scenes:
                    scene.take(self._folder, self._pictures)

    def _take_pages(self, prometheus: Prometheus, seconds: int) -> None:
        """Open the report, and Prometheus' page of the last ``seconds``."""
        REPORT.take(self._folder, self._folder)
        console = prometheus.consoles / "kvtransfer.html"
        console.write_text(console_page(seconds), encoding="utf-8")
        report = (self._folder / "report.html").as_uri()
        with chromium() as browser:
            for name, url, width in (
                ("report", report, 1000),
                ("report-phone", report, 390),
                ("dashboard", f"{prometheus.url}/consoles/{console.name}", 1100),
            ):
                page = browser.new_page(viewport={"width": width, "height": 400})
                page.goto(url, wait_until="networkidle")
                page.screenshot(path=self._pictures / f"{name}.png", full_page=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends every `with` in good order
    sys.exit(main())
