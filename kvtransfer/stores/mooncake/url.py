"""Reads store URLs such as ``mooncake://host:50051?protocol=rdma&device=mlx5_0``."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from kvtransfer.errors import ConfigError
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_PORT = 50051
_OPTIONS = ("metadata", "segment_gib", "hostname", "protocol", "device", "metrics_port")
_PROTOCOLS = ("tcp", "rdma")


@dataclass(frozen=True)
class MooncakeUrl:
    """Where the master is, and how this machine takes part."""

    shown: str
    """The URL without secrets."""
    host: str
    port: int
    """The master's own port."""
    metadata: str
    """The metadata server; ``P2PHANDSHAKE``: there is none."""
    segment_bytes: int
    """Memory that each client contributes to the pool."""
    hostname: str
    """The name by which other machines reach this one."""
    protocol: str
    device: str
    """The RDMA device; empty: Mooncake chooses."""
    metrics_port: int | None
    """The master's HTTP port, which lists keys; None where the URL doesn't say."""

    def settings(self) -> dict[str, str | int]:
        """Return what the client is told."""
        return {
            "master": f"{self.host}:{self.port}",
            "metadata_server": self.metadata,
            "segment_bytes": self.segment_bytes,
            "hostname": self.hostname,
            "protocol": self.protocol,
            "device": self.device,
        }


def read_mooncake_url(url: str) -> MooncakeUrl:
    """Return the parts of ``url``.

    Raises:
        ConfigError: it is malformed, or has an option that isn't known.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
        if not host or "@" in parts.netloc or parts.path.strip("/") or parts.fragment:
            raise ValueError(url)
        options = _options(parts.query, masked(url))
        return MooncakeUrl(
            shown=masked(url),
            host=host,
            port=port,
            metadata=options.get("metadata", "P2PHANDSHAKE"),
            segment_bytes=_segment_bytes(options.get("segment_gib", "0")),
            hostname=options.get("hostname") or _own_name(host),
            protocol=_protocol(options.get("protocol", "tcp"), masked(url)),
            device=options.get("device", ""),
            metrics_port=_port(options["metrics_port"]) if "metrics_port" in options else None,
        )
    except ConfigError:
        raise
    except (ValueError, OverflowError):
        raise ConfigError(
            f"store URL {masked(url)!r} is malformed: write mooncake://host:50051, with options "
            "such as ?segment_gib=4&metrics_port=9003"
        ) from None


def _options(query: str, shown: str) -> Mapping[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown or len(options) < len(pairs):
        raise ConfigError(
            f"store URL {shown!r} has {unknown[0] if unknown else 'an option twice'}: the options "
            f"are {', '.join(_OPTIONS)}, once each"
        )
    return options


def _segment_bytes(gib: str) -> int:
    segment_bytes = int(float(gib) * 2**30)
    if segment_bytes < 0:
        raise ValueError(gib)
    return segment_bytes


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 1 << 16:
        raise ValueError(text)
    return port


def _protocol(name: str, shown: str) -> str:
    if name not in _PROTOCOLS:
        raise ConfigError(
            f"store URL {shown!r} has protocol={name}: write {' or '.join(_PROTOCOLS)}"
        )
    return name


def _own_name(master: str) -> str:
    """Name this machine for others; with a master on this machine alone, there are none."""
    is_here = master == "localhost" or master.startswith("127.")
    return "127.0.0.1" if is_here else socket.gethostname()
