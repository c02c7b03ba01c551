"""Reads the metrics of an engine's ``/metrics``."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections import defaultdict
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from kvtransfer.errors import ConfigError
from kvtransfer.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS = ("vllm:", "kvtransfer:")
_MOST_BYTES = 16 << 20


class NoAnswerError(Exception):
    """An instance does not answer; the text says why."""


class Instance:
    """An engine with a page of metrics.

    Args:
        url: of the engine or of its page; ``/metrics`` is added where there is no path.

    Raises:
        ConfigError: it isn't an address of the web.
    """

    def __init__(self, url: str, timeout_s: float = 2.0) -> None:
        address = url if "://" in url else f"http://{url}"
        if not address.startswith(("http://", "https://")):
            raise ConfigError(f"{url!r} is no instance; write http://host:8000")
        scheme, _, rest = address.partition("://")
        host, _, path = rest.partition("/")
        self.name = host
        """Host and port."""
        self._address = f"{scheme}://{host}/{path or 'metrics'}"
        self._timeout_s = timeout_s

    def samples(self) -> Mapping[str, float]:
        """Return the value of each series of vLLM and of ours, summed over its labels but ``le``.

        Raises:
            NoAnswerError: nothing came in time, or no page of metrics.
        """
        try:
            with urllib.request.urlopen(self._address, timeout=self._timeout_s) as reply:
                text = reply.read(_MOST_BYTES).decode(errors="replace")
            return sums_of(text)
        except (OSError, urllib.error.URLError, ValueError) as error:
            raise NoAnswerError(printable(f"{self.name}: {_why(error)}")) from None


def _why(error: Exception) -> object:
    """What went wrong, without the wrapping that urllib puts around it."""
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        reason = error.reason
        return getattr(reason, "strerror", None) or reason
    return error


def sums_of(page: str) -> dict[str, float]:
    """Sum up the series of a page of metrics by name; buckets keep their limit, as in ``NAME{0.5}``.

    Raises:
        ValueError: it isn't a page of metrics.
    """
    sums: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name.startswith(_OURS):
                limit = sample.labels.get("le")
                sums[f"{sample.name}{{{limit}}}" if limit else sample.name] += sample.value
    return dict(sums)
