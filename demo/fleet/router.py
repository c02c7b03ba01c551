"""Starts vllm-router in front of the instances."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from demo.fleet.child import Child

if TYPE_CHECKING:
    from collections.abc import Sequence

START_S = 60.0
PROGRAM = Path(sys.executable).with_name("vllm-router")
_OPTIONS = {
    # Turns of one conversation go to all instances, so what one has computed, another one needs.
    "policy": "round_robin",
    # A request whose instance dies is sent to another one. By the router's defaults ten requests may
    # fail before it leaves an instance out, and a request is given up after five that hit it.
    "cb-failure-threshold": 2,
    "retry-max-retries": 10,
    # The instance is taken back soon after it answers again.
    "cb-success-threshold": 1,
    "cb-timeout-duration-secs": 5,
    "health-check-interval-secs": 2,
    "health-success-threshold": 1,
    "worker-startup-check-interval": 1,
    "log-level": "warning",
}


def start_router(workers: Sequence[str], port: int, metrics_port: int, logs: Path) -> Child:
    """Start a router on ``port`` for the instances at the URLs ``workers``.

    Raises:
        FileNotFoundError: it isn't installed.
    """
    if not PROGRAM.exists():
        raise FileNotFoundError("no vllm-router: run `pip install vllm-router`")
    named = _OPTIONS | {"host": "127.0.0.1", "port": port, "prometheus-port": metrics_port}
    pairs = [part for name, value in named.items() for part in (f"--{name}", str(value))]
    arguments = [str(PROGRAM), "--worker-urls", *workers, *pairs]
    return Child(
        "vllm-router", arguments, f"http://127.0.0.1:{port}/health", logs / "router.log", {}
    )
