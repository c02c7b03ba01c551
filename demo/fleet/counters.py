"""Reads counters of a server in Prometheus' text format."""

from __future__ import annotations

from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families


def counted(url: str, name: str) -> float:
    """Return the metric ``name`` of the server at ``url``, summed over its labels; 0 if there is none."""
    with urlopen(f"{url}/metrics", timeout=30) as reply:
        return total(reply.read().decode(), name)


def total(text: str, name: str) -> float:
    """Return the sum of all samples of ``name`` in ``text``."""
    families = text_string_to_metric_families(text)
    samples = (sample for family in families for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == name)
