"""Starts the servers of ``bench_redis``, each on a free port, in memory, with a password."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.stores.embedded.process import free_ports, start_server
from kvtransfer.stores.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.stores.embedded.process import ServerProcess

MAXMEMORY_BYTES = 1 << 30


@dataclass(frozen=True)
class Server:
    """Describes a server that runs on this machine."""

    name: str
    url: str
    pid: int


@contextmanager
def valkey() -> Iterator[Server]:
    """Start the embedded Valkey."""
    with EmbeddedServer(MAXMEMORY_BYTES) as server:
        yield Server("valkey", server.url, server.pid)


@contextmanager
def redis7() -> Iterator[Server]:
    """Start the operating system's ``redis-server``, which uses jemalloc on Debian."""
    with _redis() as (process, password):
        yield Server("redis7", process.address.url(password), process.pid)


@contextmanager
def redis7_tls() -> Iterator[Server]:
    """Start the same over TLS, with a certificate of its own that the URL names."""
    with TemporaryDirectory(prefix="kvtransfer-") as directory:
        certificate, key = certify(Path(directory))
        port = _free_port()
        config = (
            f"tls-port {port}",
            f"tls-cert-file {certificate}",
            f"tls-key-file {key}",
            f"tls-ca-cert-file {certificate}",
            "tls-auth-clients no",
        )
        with _redis(*config) as (process, password):
            url = f"rediss://:{password}@127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
            yield Server("redis7-tls", url, process.pid)


SERVERS = {"redis7": redis7, "valkey": valkey, "redis7-tls": redis7_tls}


def certify(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, as files in ``directory``."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run(["openssl", "req", *kind, *names, *files], check=True, capture_output=True)
    return certificate, key


@contextmanager
def _redis(*lines: str) -> Iterator[tuple[ServerProcess, str]]:
    binary, password = shutil.which("redis-server"), secrets.token_urlsafe(24)
    if binary is None:
        raise ConfigError("no redis-server here: apt-get install redis-server")
    config = (
        f"requirepass {password}",
        f"maxmemory {MAXMEMORY_BYTES}",
        "maxmemory-policy allkeys-lru",
        'save ""',
        *lines,
    )
    process = start_server(Path(binary), free_ports(), password, "\n".join((*config, "")))
    try:
        yield process, password
    finally:
        process.end()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
