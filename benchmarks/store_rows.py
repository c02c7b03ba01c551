"""Lists the stores that ``bench_stores`` measures: how each is started, and by which client."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

from benchmarks.redis_servers import redis7
from benchmarks.store_clients import (
    MooncakeClient,
    NixlClient,
    file_client,
    object_client,
    redis_client,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.store_clients import Client


@dataclass(frozen=True)
class StoreRow:
    """One store."""

    name: str
    served: Callable[[Path | None], AbstractContextManager[str]]
    """Starts the store's server, or makes its folder in the one given, and yields our URL."""
    client: Callable[[str], Client]
    """Opens the store's own client for that URL."""


@contextmanager
def in_folder(prefix: str, parent: Path | None) -> Iterator[str]:
    """Make a folder for the body; the URL is ``prefix`` and its path."""
    with tempfile.TemporaryDirectory(prefix="kvtransfer-bench-", dir=parent) as folder:
        yield f"{prefix}{folder}/chunks"


@contextmanager
def redis_server(parent: Path | None) -> Iterator[str]:
    """Start the operating system's Redis, which uses no folder."""
    del parent
    with redis7() as server:
        yield server.url


@contextmanager
def object_server(parent: Path | None) -> Iterator[str]:
    """Start SeaweedFS, which keeps its files in the temporary folder."""
    from tests.stores.objects.servers import ENVIRONMENT, SeaweedFS

    del parent
    with SeaweedFS() as server, patch.dict(os.environ, ENVIRONMENT):
        yield server.url()


@contextmanager
def mooncake_server(parent: Path | None) -> Iterator[str]:
    """Start Mooncake's master and a segment of memory, over TCP."""
    from tests.stores.mooncake.servers import Mooncake

    del parent
    with closing(Mooncake(segment_bytes=3 << 30, lease_ms=500)) as servers:
        yield servers.url


MOONCAKE = StoreRow("mooncake", mooncake_server, MooncakeClient)

ROWS = {
    row.name: row
    for row in (
        StoreRow("redis", redis_server, redis_client),
        StoreRow("disk", partial(in_folder, "disk://"), file_client),
        StoreRow("nixl", partial(in_folder, "nixl://posix"), NixlClient),
        StoreRow("s3", object_server, object_client),
        *([MOONCAKE] if sys.version_info < (3, 14) else []),  # it has no build for 3.14
    )
}
