"""Reads store URLs such as ``infinistore://host:12345?device=mlx5_0&link=Ethernet``."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from kvtransfer.errors import ConfigError
from kvtransfer.urls import masked

_OPTIONS = ("device", "ib_port", "link")
_LINKS = ("IB", "Ethernet")


@dataclass(frozen=True)
class InfiniStoreUrl:
    """Where the server is, and over which device it is reached."""

    shown: str
    """The URL without secrets."""
    host: str
    port: int
    device: str
    ib_port: int
    link: str

    def settings(self, timeout_s: float) -> dict[str, str | int | float]:
        """Return what the client is told."""
        return {
            "host": self.host,
            "port": self.port,
            "device": self.device,
            "ib_port": self.ib_port,
            "link": self.link,
            "timeout_s": timeout_s,
        }


def read_infinistore_url(url: str) -> InfiniStoreUrl:
    """Return the parts of ``url``.

    Raises:
        ConfigError: it is malformed, or has an option that isn't known.
    """
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        options = dict(pairs)
        if not parts.hostname or not parts.port or "@" in parts.netloc or parts.path.strip("/"):
            raise ValueError(url)
        if parts.fragment or set(options) - set(_OPTIONS) or len(options) < len(pairs):
            raise ValueError(url)
        if (link := options.get("link", "IB")) not in _LINKS:
            raise ValueError(url)
        return InfiniStoreUrl(
            shown=masked(url),
            host=parts.hostname,
            port=parts.port,
            device=options.get("device", "mlx5_0"),
            ib_port=int(options.get("ib_port", 1)),
            link=link,
        )
    except ValueError:
        raise ConfigError(
            f"store URL {masked(url)!r} is malformed: write infinistore://host:12345, with options "
            f"of {', '.join(_OPTIONS)}, where link is {' or '.join(_LINKS)}"
        ) from None
