"""Starts :mod:`http_child` as one server of a fleet."""

from __future__ import annotations

import sys
from pathlib import Path

from demo.fleet.child import Child, free_port

PROGRAM = Path(__file__).with_name("http_child.py")
START_S = 60


def started(folder, name, seconds=0.0, port=None):
    """A server that is up, and its URL."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = [sys.executable, str(PROGRAM), str(port), name, str(seconds)]
    child = Child(name, arguments, f"{url}/health", folder / f"{name}.log", {})
    child.wait_until_up(START_S)
    return child, url
