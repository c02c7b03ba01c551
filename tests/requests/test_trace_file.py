import json
import stat

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.requests.trace_file import TraceFile
from kvtransfer.simulate.trace import read_trace
from tests.fake_clock import FakeClock
from tests.requests.engine import CHUNK, Engine

KEYS = [f"{i:032x}" for i in range(5)]


def test_what_is_recorded_can_be_simulated(tmp_path):
    path, clock = tmp_path / "trace.jsonl", FakeClock(100.0)
    trace = TraceFile(path, 256, clock)
    trace.note(1000, KEYS)
    clock.now_s += 2.5
    trace.note(600, KEYS)
    trace.close()
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert (first["timestamp"], second["timestamp"]) == (0, 2500)
    assert (len(first["hashes"]), len(second["hashes"])) == (3, 2)
    requests = read_trace(path, 256)
    assert [request.tokens for request in requests] == [1000, 600]
    assert requests[1].keys == requests[0].keys[:2]


def test_a_request_that_ends_is_recorded_with_the_chunks_of_its_prompt(tmp_path):
    path = tmp_path / "trace.jsonl"
    engine = Engine(trace=TraceFile(path, CHUNK))
    for name, tokens in (("a", range(3 * CHUNK + 1)), ("b", range(CHUNK))):
        request = engine.request(name, tokens)
        engine.side.track(request)
        engine.side.match(request, 0)
        engine.side.finish(request, owns_blocks=False)
    engine.side.close()
    first, second = read_trace(path, CHUNK)
    assert (first.tokens, len(first.keys)) == (3 * CHUNK + 1, 3)
    assert second.keys == first.keys[:1]


def test_hashes_can_not_be_compared_with_prompts_or_other_traces(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        trace = TraceFile(tmp_path / name, 256)
        trace.note(512, KEYS[:2])
        trace.close()
    first, second = ((tmp_path / name).read_text() for name in ("a.jsonl", "b.jsonl"))
    assert KEYS[0] not in first
    assert json.loads(first)["hashes"] != json.loads(second)["hashes"]


def test_a_new_file_is_its_owners_alone_and_an_old_one_grows(tmp_path):
    path = tmp_path / "trace.jsonl"
    for _ in range(2):
        trace = TraceFile(path, 256)
        trace.note(256, KEYS[:1])
        trace.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text().splitlines()) == 2


def test_a_file_that_can_not_be_written_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="name a file that can be written"):
        TraceFile(tmp_path / "nowhere" / "trace.jsonl", 256)
