"""``top`` on pages that a server in this process shows."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO

import pytest
from rich.console import Console

from kvtransfer.commands.top_instances import screen
from kvtransfer.operate.traffic import between
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.urls import masked

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


def test_a_table_without_a_terminal_has_every_column(run, instance):
    ran = run("top", instance, "--interval", 0.1, "--count", 1)
    units, titles, row = ran.out.splitlines()
    assert units.split()[:4] == ["prompt", "host", "store", "fetched"]
    assert titles.split()[0] == "instance"
    assert re.split(" {2,}", row)[0] == instance
    assert len(re.split(" {2,}", row)) == len(re.split(" {2,}", titles)) == 13


@pytest.mark.parametrize(("columns", "left_out"), [(80, 5), (100, 3), (140, 0)])
def test_a_terminal_shows_the_columns_that_it_has_room_for(
    in_terminal, instance, columns, left_out
):
    lines = in_terminal(columns, "top", instance, "--interval", 0.1, "--count", 1)
    assert [line for line in lines if "…" in line] == []
    titles, row = (re.split(" {2,}", line) for line in lines[1:3])
    assert row[0] == instance
    assert len(row) == len(titles) == 13 - left_out
    more = "".join(lines[3:]).removeprefix("a wider terminal shows also: ")
    assert len(more.split(",")) == left_out or not more


def test_an_instance_that_does_not_answer_says_why(in_terminal, instance):
    lines = in_terminal(140, "top", instance, "127.0.0.1:1", "--interval", 0.1, "--count", 1)
    assert lines[-1] == "no answer from 127.0.0.1:1: Connection refused"


def test_without_any_answer_there_is_no_table(in_terminal):
    lines = in_terminal(80, "top", "127.0.0.1:1", "--interval", 0.1, "--count", 1)
    assert lines == ["no answer from 127.0.0.1:1: Connection refused"]


def test_an_instance_that_does_not_answer_is_a_row(run, instance):
    ran = run("top", instance, "127.0.0.1:1", "--interval", 0.1, "--count", 1, "--json")
    assert ran.status == 0
    assert "error" in ran.objects[1]
    assert "error" not in ran.objects[0]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_long_name_is_folded_and_the_columns_stay(width):
    name = "engine-0123456789." * 5 + "svc:8000"
    console = Console(width=width, file=StringIO())
    console.print(screen([(name, between({}, {}, 1.0))], width))
    lines = console.file.getvalue().splitlines()
    assert "…" not in "".join(lines)
    assert lines[1].split()[-1] == "breakers"
    assert "".join(line.split()[0] for line in lines[2:] if line[0] != "a").startswith(name)


@pytest.mark.parametrize("instances", [("ftp://host",), ("a:1", "http://a:1")])
def test_what_is_no_instance(run, instances):
    ran = run("top", *instances)
    assert (ran.status, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1


@pytest.fixture
def server():
    with EmbeddedServer(64 << 20) as running:
        yield running


def test_a_store_shows_what_its_server_does(run, server):
    ran = run("top", "--store", server.url, "--interval", 0.1, "--count", 2, "--json")
    assert ran.status == 0
    assert [row["server"] for row in ran.objects] == [masked(server.url)] * 2
    assert all(row["used_bytes"] > 0 and row["commands_per_s"] > 0 for row in ran.objects)
    assert [row["limit_bytes"] for row in ran.objects] == [64 << 20] * 2


def test_a_store_stands_below_the_instances(in_terminal, instance, server):
    asked = ("top", instance, "--store", server.url, "--interval", 0.1, "--count", 1)
    lines = in_terminal(80, *asked)
    first = next(i for i, line in enumerate(lines) if line.startswith("server"))
    assert "of 64 MiB" in lines[first + 1]
    assert lines[2].startswith(instance)
    assert [line for line in lines if "…" in line] == []


def test_a_store_that_does_not_answer_is_a_line(run, instance):
    looks = ("--store", "redis://127.0.0.1:1/0", "--interval", 0.1, "--count", 1)
    ran = run("top", instance, *looks)
    assert ran.status == 0
    assert "Connection refused" in ran.out
    assert "error" in run("top", *looks, "--json").objects[0]


@pytest.mark.parametrize("arguments", [(), ("--store", "disk:///tmp/none"), ("--store", "redis:/")])
def test_nothing_to_look_at(run, arguments):
    ran = run("top", *arguments, "--count", 1)
    assert (ran.status, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1
