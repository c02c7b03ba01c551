"""What can be known of the CUDA device without one; ``make gpu`` proves the rest."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace

import pytest
import torch

from kvtransfer.device import cuda, open_device
from kvtransfer.device.cuda import CudaDevice, CudaEvent, CudaStream
from kvtransfer.errors import ConfigError


class Recorder:
    """torch's stream and event: says what it was asked for."""

    def __init__(self, calls, name, query=True, gate=None, failure=None):
        self.calls, self.name, self.answer = calls, name, query
        self.gate, self.failure = gate, failure
        self.device = torch.device("cuda", 0)

    def wait_event(self, event):
        self.calls.append(f"{self.name} waits for {event.name}")

    def synchronize(self):
        self.calls.append(f"synchronize {self.name}")
        if self.gate is not None:
            assert self.gate.wait(30)
        if self.failure is not None:
            raise self.failure

    def query(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def record(self, stream):
        self.calls.append(f"record on {stream.name}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def calls(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, "Event", lambda **_: Recorder(calls, "event"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch.cuda, "device", lambda device: Recorder(calls, device))
    return calls


@pytest.fixture
def watcher():
    with ThreadPoolExecutor(1) as made:
        yield made


def test_nothing_touches_the_driver_before_it_is_used():
    code = (
        "import torch; from kvtransfer.device import open_device;"
        "print(type(open_device(torch.device('cuda', 0))).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "CudaDevice\n"


def test_other_devices_are_refused_by_name():
    with pytest.raises(ConfigError, match="device xpu:0 is not supported"):
        open_device(torch.device("xpu", 0))


def test_work_is_held_back_launched_and_marked(calls, watcher):
    stream = CudaStream(Recorder(calls, "s"))
    event = stream.launch(
        lambda: calls.append("work"),
        [CudaEvent(Recorder(calls, "a"), watcher), CudaEvent(Recorder(calls, "b"), watcher)],
    )
    assert calls == ["s waits for a", "s waits for b", "work", "record on s"]
    assert event.is_done
    assert event.error is None


def test_a_failed_launch_leaves_nothing_under_way(calls):
    stream = CudaStream(Recorder(calls, "s"))

    def work():
        raise RuntimeError("out of resources")

    event = stream.launch(work)
    assert calls == ["synchronize s"]
    assert event.is_done
    event.wait()
    event.on_done(lambda: calls.append("told"))
    assert calls == ["synchronize s", "told"]
    assert str(event.error) == "out of resources"
    later = stream.launch(lambda: calls.append("never"), [event])
    assert later.error is event.error
    assert "never" not in calls


def test_an_error_of_the_device_ends_the_event(calls, watcher):
    error = RuntimeError("illegal memory access")
    asked = CudaEvent(Recorder(calls, "a", query=error), watcher)
    assert asked.is_done
    waited = CudaEvent(Recorder(calls, "b", query=False, failure=error), watcher)
    waited.wait()
    assert asked.error is waited.error is error


def test_waiting_is_the_drivers(calls, watcher):
    CudaEvent(Recorder(calls, "a", query=False), watcher).wait()
    assert calls == ["synchronize a"]


@pytest.mark.parametrize("failure", [None, RuntimeError("illegal memory access")])
def test_the_end_is_told_once_by_a_thread_that_sleeps_until_then(calls, failure):
    gate, told = Event(), []
    stream = CudaStream(Recorder(calls, "s"))
    event = CudaEvent(Recorder(calls, "a", False, gate, failure), stream._watcher)
    event.on_done(lambda: told.append(event.error))
    assert not told
    gate.set()
    stream.close()  # after which nothing is told any more
    assert told == [failure]
    assert calls.count("synchronize a") == 1


def test_the_end_is_told_at_once_where_it_is_over(calls):
    told, stream = [], CudaStream(Recorder(calls, "s"))
    stream.close()
    CudaEvent(Recorder(calls, "done"), stream._watcher).on_done(lambda: told.append("done"))
    CudaEvent(Recorder(calls, "a", False), stream._watcher).on_done(lambda: told.append("closed"))
    assert told == ["done", "closed"]


def test_few_runs_are_copied_by_torch_and_many_by_the_driver(monkeypatch):
    device, batches = CudaDevice(torch.device("cuda", 0)), []
    stream = SimpleNamespace(cuda_stream=7, query=lambda: True)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    monkeypatch.setattr(
        cuda.BatchCopy, "open", lambda: lambda runs, stream: batches.append((len(runs), stream))
    )
    source, target = torch.arange(12).view(3, 4), torch.zeros(3, 4, dtype=torch.int64)
    device.copy([(target, source)])
    assert torch.equal(target, source)
    device.copy([(target[i], source[2 - i]) for i in range(3)])
    assert batches == [(3, 7)]


def test_an_older_driver_copies_one_by_one(monkeypatch):
    monkeypatch.setattr(cuda.BatchCopy, "open", lambda: None)
    source, target = torch.arange(12).view(3, 4), torch.zeros(3, 4, dtype=torch.int64)
    CudaDevice(torch.device("cuda", 0)).copy([(target[i], source[2 - i]) for i in range(3)])
    assert torch.equal(target, source.flip(0))


def test_what_is_not_contiguous_is_no_work_for_a_copy_engine():
    with pytest.raises(ValueError, match="contiguous memory only"):
        CudaDevice(torch.device("cuda", 0)).copy([(torch.zeros(4), torch.zeros(4, 2)[:, 0])])
