from __future__ import annotations

import pytest

from demo.fleet.prometheus import Prometheus, grown


@pytest.mark.parametrize(
    ("values", "growth"),
    [([], 0), ([5.0], 0), ([5.0, 7.0, 7.0], 2), ([5.0, 7.0, 0.0, 3.0], 5), ([5.0, 2.0], 2)],
)
def test_a_restarted_counter_begins_at_0(values, growth):
    assert grown(values) == growth


def test_a_missing_prometheus_is_told_with_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="apt-get install prometheus"):
        Prometheus(["127.0.0.1:1"], 2, tmp_path)
