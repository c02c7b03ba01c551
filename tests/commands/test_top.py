"""``top`` on pages that a server in this process shows."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

PAGE = """# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{engine="0",model_name="m"}} {tokens}
# HELP kvtransfer:fetched_bytes_total Bytes.
# TYPE kvtransfer:fetched_bytes_total counter
kvtransfer:fetched_bytes_total{{engine="0",model_name="m"}} {fetched}
kvtransfer:fetched_bytes_total{{engine="1",model_name="m"}} {fetched}
"""


@pytest.fixture
def instance():
    class Handler(BaseHTTPRequestHandler):
        asked = 0

        def do_GET(self):
            Handler.asked += 1
            body = PAGE.format(tokens=1000 * Handler.asked, fetched=5e6 * Handler.asked).encode()
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_rates_of_an_instance(run, instance):
    ran = run("top", f"http://{instance}", "--interval", 0.2, "--count", 2, "--json")
    assert ran.status == 0
    assert [row["instance"] for row in ran.objects] == [instance] * 2
    assert all(row["fetched_bytes_per_s"] > 0 for row in ran.objects)
    ratio = ran.objects[0]["fetched_bytes_per_s"] / ran.objects[0]["prompt_tokens_per_s"]
    assert ratio == pytest.approx(10_000)


def test_a_table_without_a_terminal(run, instance):
    ran = run("top", instance, "--interval", 0.1, "--count", 1)
    assert "prompt tok/s" in ran.out
    assert instance in ran.out


def test_an_instance_that_does_not_answer_is_a_row(run, instance):
    ran = run("top", instance, "127.0.0.1:1", "--interval", 0.1, "--count", 1, "--json")
    assert ran.status == 0
    assert "error" in ran.objects[1]
    assert "error" not in ran.objects[0]


@pytest.mark.parametrize("instances", [("ftp://host",), ("a:1", "http://a:1")])
def test_what_is_no_instance(run, instances):
    ran = run("top", *instances)
    assert (ran.status, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1
