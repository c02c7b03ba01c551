"""Reads store URLs such as ``s3://bucket/prefix?endpoint=http://host:9000&region=eu-central-1``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from kvtransfer.errors import ConfigError
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

_FORMS = {
    "s3": "s3://bucket/prefix?endpoint=http://host:port&region=eu-central-1&path_style=true",
    "gs": "gs://bucket/prefix?endpoint=http://host:port",
    "az": "az://container/prefix?account=name&endpoint=http://host:port",
}
_PARAMETERS = {
    "s3": ("endpoint", "region", "path_style"),
    "gs": ("endpoint",),
    "az": ("account", "endpoint"),
}
_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True)
class ObjectUrl:
    """The parts of a store URL; an empty text leaves it to the client and the environment."""

    shown: str
    """The URL for messages."""
    scheme: str
    """``s3``, ``gs`` or ``az``."""
    bucket: str
    """The bucket; for Azure, the container."""
    prefix: str
    """What the names of all objects begin with, without a slash at either end."""
    endpoint: str
    """The server as ``http://host:port`` or ``https://host:port``."""
    region: str
    path_style: bool
    """Whether the bucket stands in the path of a request, and not in the name of the host."""
    account: str
    """The storage account; Azure only."""

    def settings(self, timeout_s: float) -> dict[str, object]:
        """Return what the client is told; no request of it may take over ``timeout_s``."""
        return {**asdict(self), "timeout_s": timeout_s}


def read_url(url: str) -> ObjectUrl:
    """Read ``url``.

    Raises:
        ConfigError: it is malformed, has an unknown parameter, or holds credentials.
    """
    parts = urlsplit(url)
    parameters = _parameters(parts)
    _check_place(parts)
    endpoint = _endpoint(parts.scheme, parameters)
    return ObjectUrl(
        shown=masked(url),
        scheme=parts.scheme,
        bucket=parts.netloc,
        prefix=_prefix(parts),
        endpoint=endpoint,
        region=parameters.get("region", ""),
        path_style=_path_style(parts.scheme, parameters, default=bool(endpoint)),
        account=parameters.get("account", ""),
    )


def _parameters(parts: SplitResult) -> Mapping[str, str]:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    known = _PARAMETERS[parts.scheme]
    for name, value in pairs:
        if name not in known:
            raise _unknown(parts.scheme, name)
        if not value:
            raise _malformed(parts.scheme, f"{name} is empty")
    if len(dict(pairs)) < len(pairs):
        raise _malformed(parts.scheme, "a parameter stands there twice")
    return dict(pairs)


def _unknown(scheme: str, name: str) -> ConfigError:
    """Refuse a parameter without its value, which may be a secret."""
    known = _PARAMETERS[scheme]
    nearest = get_close_matches(name, known, n=1)
    fix = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
    return ConfigError(
        f"{scheme}:// URL: unknown parameter {name!r} ({fix}); credentials come from the "
        "environment or the machine, never from the URL"
    )


def _check_place(parts: SplitResult) -> None:
    if "@" in parts.netloc:
        raise _malformed(
            parts.scheme,
            "credentials don't belong there; they come from the environment or the machine",
        )
    if ":" in parts.netloc:
        raise _malformed(
            parts.scheme, f"{parts.netloc!r} is no bucket; name the server as endpoint"
        )
    if parts.fragment:
        raise _malformed(parts.scheme, "write # as %23")
    if not parts.netloc:
        raise _malformed(parts.scheme, "it names no bucket")


def _prefix(parts: SplitResult) -> str:
    prefix = unquote(parts.path).strip("/")
    if any(segment in ("", ".", "..") for segment in prefix.split("/") if prefix):
        raise _malformed(parts.scheme, f"the prefix {prefix!r} has an empty part, . or ..")
    return prefix


def _endpoint(scheme: str, parameters: Mapping[str, str]) -> str:
    endpoint = parameters.get("endpoint", "")
    parts = urlsplit(endpoint)
    is_plain = parts.scheme in ("http", "https") and parts.hostname and not parts.query
    if endpoint and (not is_plain or "@" in parts.netloc):
        raise _malformed(scheme, "endpoint must be http://host:port or https://host:port")
    return endpoint.rstrip("/")


def _path_style(scheme: str, parameters: Mapping[str, str], *, default: bool) -> bool:
    text = parameters.get("path_style")
    if text is None:
        return default
    if text not in _TRUTHS:
        raise _malformed(scheme, f"path_style={text} must be true or false")
    return _TRUTHS[text]


def _malformed(scheme: str, cause: str) -> ConfigError:
    return ConfigError(f"{scheme}:// URL is malformed, {cause}: write {_FORMS[scheme]}")
