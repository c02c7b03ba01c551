"""What ``docs/first-hour.md`` shows is what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import redis

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.testing import CHUNK, KEY, PAYLOAD

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "first-hour.md").read_text(encoding="utf-8")


def blocks(language):
    """The fenced blocks in ``language``."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [block for named, block in fenced if named == language]


def shown_after(command):
    """What the page shows below ``command``, up to the next one."""
    (block,) = [block for block in blocks("console") if f"$ {command}\n" in block]
    return block.partition(f"$ {command}\n")[2].partition("$ ")[0]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("kvtransfer --version", ["-m", "kvtransfer", "--version"]),
        ("python examples/quickstart.py", ["examples/quickstart.py"]),
    ],
)
def test_a_command_prints_what_the_page_shows(command, arguments):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == shown_after(command)


def test_a_typo_is_told_as_the_page_shows():
    with pytest.raises(ConfigError) as refused:
        TransferConfig.load({}, {"KVTRANSFER_CHUNK_SIZ": "64"})
    shown = shown_after("KVTRANSFER_CHUNK_SIZ=64 vllm serve MODEL ...")
    assert shown == f"...\nkvtransfer.errors.ConfigError: {refused.value}\n"


def logged(url, port, caplog):
    """The line about a store that fails, as on the page's own port."""
    caplog.clear()
    store = open_store(url, CHUNK, StoreSettings(timeout_s=30.0))
    with closing(GuardedStore(store, url)) as guarded:
        assert guarded.put(KEY, memoryview(PAYLOAD)) is False
    (record,) = caplog.records
    return record.getMessage().replace(str(port), "6379") + "\n"


def test_a_store_that_fails_is_logged_as_the_page_shows(caplog):
    shown = blocks("")
    with EmbeddedServer(64 << 20, password="s3cret") as server:
        port = server.port
        right, wrong, none = (f"redis://{who}localhost:{port}/0" for who in (":s3cret@", ":x@", ""))
        assert logged(wrong, port, caplog) == shown[0]
        assert logged(none, port, caplog) == shown[1]
        with redis.Redis.from_url(server.url) as control:
            control.config_set("maxmemory-policy", "noeviction")
            control.config_set("maxmemory", 1)
        assert logged(right, port, caplog) == shown[2]
    assert logged(right, port, caplog) == shown[3]
    assert len(shown) == 4
