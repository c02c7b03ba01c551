"""The client's process starts again, shows no secret, and writes nothing into callers' memory."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.objects.store import ObjectStore
from kvtransfer.stores.record import ChunkFacts
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY
from tests.faults import proxy as line
from tests.stores.objects.servers import SECRET_KEY
from tests.stores.objects.test_faults import PATIENT, until

FACTS = ChunkFacts.of(CHUNK, "naive")
LONG_BYTES = 20 << 20


def pid_of(store):
    return store._client._channels._process.pid


def test_one_that_is_killed_is_started_again(backing):
    with closing(ObjectStore(backing.url, PATIENT)) as store:
        assert store.put(KEY, memoryview(b"payload"), FACTS)
        first = pid_of(store)
        os.kill(first, signal.SIGKILL)
        until(lambda: store._client._channels._process.has_ended)
        assert store.get_into(KEY, memoryview(bytearray(7))) is not None
        assert pid_of(store) != first


def test_one_that_is_stopped_costs_a_late_call_and_nothing_else(backing):
    with closing(ObjectStore(backing.url, replace(PATIENT, timeout_s=0.5))) as store:
        os.kill(pid_of(store), signal.SIGSTOP)
        with pytest.raises(StoreError, match="didn't answer in time"):
            store.stat(KEY)
        os.kill(pid_of(store), signal.SIGCONT)
        until(lambda: answers_about(store, KEY))


def answers_about(store, key):
    try:
        return store.contains([key]) == [False]
    except StoreError:
        return False


def test_its_command_line_holds_no_secret(backing):
    with closing(ObjectStore(backing.url, PATIENT)) as store:
        command = Path(f"/proc/{pid_of(store)}/cmdline").read_bytes()
        assert b"kvtransfer.client_programs.objects" in command
        assert SECRET_KEY.encode() not in command
        assert backing.bucket.encode() not in command


def test_a_late_call_leaves_the_callers_memory_as_it_was(backing, server):
    proxy = line.Proxy(server.port)
    url = server.url(backing.prefix, proxy.port)
    sent = os.urandom(LONG_BYTES)
    with closing(ObjectStore(backing.url, PATIENT)) as store:
        store.put(KEY, memoryview(sent), FACTS)
    target = bytearray(LONG_BYTES)
    settings = replace(PATIENT, timeout_s=1.0)
    with closing(proxy), closing(ObjectStore(url, settings)) as store:
        proxy.trip(line.REPLY, LONG_BYTES // 2, lambda: proxy.follow(line.stalling))
        with pytest.raises(StoreError, match="didn't answer in time"):
            store.get_into(KEY, memoryview(target))
        proxy.follow(line.passing)
        until(lambda: answers_about(store, OTHER_KEY))
    assert not any(target)


def test_entries_are_removed_while_they_are_listed(backing):
    with closing(ObjectStore(backing.url, replace(PATIENT, connections=1))) as store:
        for key in (KEY, OTHER_KEY):
            store.put(key, memoryview(b"payload"), FACTS)
        for entry in store.entries():
            store.remove(entry.key)
        assert list(store.entries()) == []


def test_settings_that_make_no_client_are_refused_with_its_reason(monkeypatch, backing):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ValueError, match=r"no client can be made: .*Missing AccessKeyId"):
        ObjectStore(backing.url, StoreSettings())
