from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores.client_process import process as process_module
from kvtransfer.stores.client_process.channel import Channel
from kvtransfer.stores.client_process.process import ClientProcess
from tests.stores.mooncake.servers import wait_until

ROOT = Path(__file__).parents[3]
_OWNER = """
import json, os, sys
from kvtransfer.stores.client_process.process import ClientProcess
print(ClientProcess("infinistore", json.loads(sys.argv[1]), {}).pid, flush=True)
sys.stdin.read()
os._exit(1)
"""


def is_there(pid):
    with suppress(FileNotFoundError, ProcessLookupError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def test_it_ends_when_it_is_closed(settings):
    process = ClientProcess("infinistore", settings, {})
    assert is_there(process.pid)
    process.close()
    assert not is_there(process.pid)


def test_one_that_hangs_is_killed(settings, monkeypatch):
    monkeypatch.setattr(process_module, "_END_S", 0.1)
    process = ClientProcess("infinistore", settings, {})
    os.kill(process.pid, signal.SIGSTOP)
    process.close()
    assert not is_there(process.pid)


def test_it_ends_with_the_process_that_started_it(settings):
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with owner:
        pid = int(owner.stdout.readline())
        assert is_there(pid)
        owner.kill()
    wait_until(lambda: not is_there(pid), "it has ended")


def test_others_can_not_read_what_it_is_told(settings):
    process = ClientProcess("infinistore", {**settings, "device": "s3cret"}, {})
    for told in ("cmdline", "environ"):
        assert b"s3cret" not in Path(f"/proc/{process.pid}/{told}").read_bytes()
    process.close()


def test_the_users_own_variables_win(settings, monkeypatch):
    monkeypatch.setenv("KVTRANSFER_TEST_A", "ours")
    variables = {"KVTRANSFER_TEST_A": "theirs", "KVTRANSFER_TEST_B": "theirs"}
    process = ClientProcess("infinistore", settings, variables)
    environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    assert {b"KVTRANSFER_TEST_A=ours", b"KVTRANSFER_TEST_B=theirs"} <= set(environment)
    process.close()


def test_one_that_has_ended_takes_no_channel(process):
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: process.has_ended, "it has ended")
    with pytest.raises(StoreError, match="has ended"):
        Channel(process, 4096)


def test_a_process_that_can_not_be_started_fails(settings, monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(StoreError, match="can't start its client: No such file"):
        ClientProcess("infinistore", settings, {})


def test_memory_that_is_not_there_fails(process):
    with pytest.raises(StoreError, match="can't share"):
        Channel(process, 1 << 62)


def test_a_client_that_can_not_be_imported_says_why(settings, monkeypatch, tmp_path):
    (tmp_path / "infinistore.py").write_text("raise ImportError('no libibverbs.so.1')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with closing(ClientProcess("infinistore", settings, {})) as process:
        with closing(Channel(process, 4096)) as channel:
            for _ in range(2):
                with pytest.raises(StoreError, match=r"no libibverbs\.so\.1"):
                    channel.call("exist", ["a"], time.monotonic() + 120.0)
        with pytest.raises(StoreError, match=r"no libibverbs\.so\.1"):
            Channel(process, 4096)


def test_a_program_starts_without_the_package(settings):
    """What takes long to import would make the first call late."""
    code = (
        "import sys, kvtransfer.client_programs.infinistore;"
        "print({'torch', 'numpy', 'pydantic', 'redis'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.stdout.strip() == "set()", done.stderr


def test_it_holds_no_socket_of_ours(process):
    """Else it would never see that we have ended."""
    ours = {os.readlink(f"/proc/self/fd/{process._control.fileno()}")}
    theirs = set()
    for fd in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(OSError):
            theirs.add(os.readlink(fd))
    assert not ours & theirs
    assert process._control.type == socket.SOCK_SEQPACKET
