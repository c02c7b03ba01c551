"""Installs a package that brings a store: modules and metadata in a folder of packages."""

from __future__ import annotations

import importlib
import sys

from kvtransfer.store_plugins import GROUP

WHOLE = """
from kvtransfer.errors import ConfigError
from kvtransfer.stores.memory import MemoryStore


class CupboardStore(MemoryStore):
    @classmethod
    def check(cls, url, settings):
        if url != "cupboard://kitchen":
            raise ConfigError(f"store URL {url!r} is malformed: write cupboard://kitchen")
"""


def install(folder, monkeypatch, *, scheme="cupboard", code=WHOLE, package="cupboards", store=None):
    """Make ``package`` importable, with an entry point for ``scheme``, until the test ends."""
    module = package.replace("-", "_")
    (folder / f"{module}.py").write_text(code)
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    value = store or f"{module}:CupboardStore"
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{scheme} = {value}\n")
    if str(folder) not in sys.path:
        monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, module, raising=False)
