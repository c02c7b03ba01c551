import json

TRACE = [
    {"tokens": 1000, "hashes": ["a", "b", "c"]},
    {"tokens": 600, "hashes": ["a", "b"]},
    {"tokens": 300, "hashes": ["x"]},
]


def test_what_a_load_is_like(run, tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in TRACE))
    (facts,) = run("trace", "info", path, "--json").objects
    assert facts == {
        "requests": 3, "seconds": None, "chunk_tokens": None, "tokens": 1900, "chunks": 6, "distinct": 4, "returned": 2, "served": 2,
    }  # fmt: skip
    assert "33.3%" in run("trace", "info", path).out


def test_what_an_engine_records_says_how_long_it_took_and_how_long_chunks_are(run, tmp_path):
    path = tmp_path / "trace.jsonl"
    timed = [{**line, "timestamp": 60_000 * n, "chunk_tokens": 384} for n, line in enumerate(TRACE)]
    path.write_text("".join(json.dumps(line) + "\n" for line in timed))
    (facts,) = run("trace", "info", path, "--json").objects
    assert (facts["seconds"], facts["chunk_tokens"]) == (120.0, 384)
    text = run("trace", "info", path).out
    assert "3 in 2 m" in text
    assert "6 of 384 tokens" in text


def test_what_is_no_trace(run, tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text("nothing\n")
    ran = run("trace", "info", path)
    assert ran.status == 2
    assert "trace.jsonl:1: this line is not JSON" in ran.err
