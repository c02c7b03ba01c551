from __future__ import annotations

from demo.fleet.counters import counted, total
from tests.demo.fleet.children import started

TEXT = """\
# TYPE hits counter
hits_total{engine="0"} 3
hits_total{engine="1"} 4
"""


def test_labels_are_added_up():
    assert total(TEXT, "hits_total") == 7
    assert total(TEXT, "misses_total") == 0


def test_a_server_is_asked_for_its_metrics(tmp_path):
    server, url = started(tmp_path, "one")
    with server:
        assert counted(url, "vllm:num_requests_running") == 0
