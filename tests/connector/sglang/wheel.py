"""SGLang's own modules from the wheel that ``SGLANG_WHEEL`` names, as far as they load without a GPU."""

from __future__ import annotations

import os
import sys
import tempfile
import zipfile
from pathlib import Path

PUBLISHED = Path(__file__).parent / "published"
INTERFACE = "sglang/srt/mem_cache/hicache_storage.py"
_NEEDED = (INTERFACE, "sglang/srt/environ.py", "sglang/srt/mem_cache/storage/backend_factory.py")


def wheel():
    """The path of the wheel, or None."""
    return os.environ.get("SGLANG_WHEEL") or None


def sources():
    """A folder from which ``sglang.srt.mem_cache.hicache_storage`` is imported."""
    path = wheel()
    if path is None:
        return PUBLISHED
    folder = tempfile.mkdtemp(prefix="kvtransfer-sglang-")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder, _NEEDED)
    return Path(folder)


def make_importable():
    """Let ``import sglang`` find the modules, unless SGLang is installed."""
    if not any(name == "sglang" or name.startswith("sglang.") for name in sys.modules):
        sys.path.append(str(sources()))
