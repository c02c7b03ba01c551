"""Runs a Prometheus server that scrapes the fleet, and adds up how counters have grown."""

from __future__ import annotations

import json
import shutil
from math import ceil
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import urlopen

from demo.fleet.child import Child

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

START_S = 60.0
INTERVAL_S = 1.0
SCRAPE_S = 2 * INTERVAL_S
"""After this time all that has happened has been scraped."""
_CONFIG = """\
global:
  scrape_interval: {interval_s:.0f}s
  scrape_timeout: {interval_s:.0f}s
scrape_configs:
  - job_name: vllm
    static_configs:
      - targets: {targets}
"""


class Prometheus:
    """Owns a server that scrapes ``/metrics`` of ``targets``, host and port, once a second.

    It serves the console templates in ``consoles`` too, a folder in ``folder``.

    Raises:
        FileNotFoundError: it isn't installed.
    """

    def __init__(self, targets: Sequence[str], port: int, folder: Path) -> None:
        program = shutil.which("prometheus")
        if program is None:
            raise FileNotFoundError("no prometheus: run `apt-get install prometheus`")
        self.consoles = folder / "consoles"  # alone, as every file in it can be asked for
        self.consoles.mkdir(exist_ok=True)
        config = folder / "prometheus.yml"
        config.write_text(_CONFIG.format(interval_s=INTERVAL_S, targets=json.dumps(list(targets))))
        self.url = f"http://127.0.0.1:{port}"
        self.child = Child(
            "prometheus",
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.console.templates={self.consoles}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            f"{self.url}/-/ready",
            folder / "prometheus.log",
            {},
        )

    def growth(self, name: str, seconds: float) -> float:
        """How much the counter ``name`` has grown over all instances in the last ``seconds``."""
        series = self.series(f"{name}[{ceil(seconds)}s]")
        return sum(grown(float(value) for _, value in one["values"]) for one in series)

    def series(self, query: str) -> list[dict[str, Any]]:
        """What ``query`` finds now, in Prometheus's words: labels and values of each series.

        Raises:
            HTTPError: Prometheus can't read the query.
        """
        with urlopen(f"{self.url}/api/v1/query?{urlencode({'query': query})}", timeout=30) as reply:
            return list(json.load(reply)["data"]["result"])


def grown(values: Iterable[float]) -> float:
    """How much a counter has grown over successive ``values``; after a restart it begins at 0."""
    total, last = 0.0, None
    for value in values:
        if last is not None:
            total += value if value < last else value - last
        last = value
    return total
