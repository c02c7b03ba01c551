import json
import re
from pathlib import Path

import pytest

from kvtransfer.chunks.quantisation import CODECS

ROOT = Path(__file__).parents[1]


def measured():
    rows = (ROOT / "benchmarks" / "results" / "ttft-cpu.jsonl").read_text().splitlines()
    return {(row["case"], row["impl"]): row["value"] for row in map(json.loads, rows)}


def beside_lmcache():
    rows = (ROOT / "benchmarks" / "results" / "ttft-lmcache.jsonl").read_text().splitlines()
    return {(row["case"], row["impl"]): row["value"] for row in map(json.loads, rows)}


def seconds_in(cell):
    return [float(text) for text in re.findall(r"([\d.]+) s", cell)]


def test_the_comparison_shows_what_was_measured():
    seconds, text = beside_lmcache(), (ROOT / "README.md").read_text(encoding="utf-8")
    cells = {
        line.split("|")[1].strip(): line.split("|")[2:4]
        for line in text.splitlines()
        if line.startswith("| ") and line.count("|") == 4
    }

    def of(tier, impl):
        return [seconds[f"restored/{n}/{tier}/block128", impl] for n in (2048, 4096)]

    redis, host = (cells[f"2,048 and 4,096 tokens from {it}"] for it in ("Redis", "host memory"))
    least = cells["the same tokens from vLLM's own prefix cache, and computed"]
    assert seconds_in(redis[0]) == pytest.approx(of("redis", "kvtransfer"), abs=0.0051)
    assert seconds_in(redis[1]) == pytest.approx(of("redis", "lmcache-shm"), abs=0.0051)
    assert seconds_in(host[0]) == pytest.approx(of("host", "kvtransfer"), abs=0.0051)
    assert seconds_in(least[0])[:2] == pytest.approx(of("redis", "local_hit"), abs=0.0051)
    assert seconds_in(least[0])[2:] == pytest.approx(of("redis", "cold"), abs=0.051)
    (shown,) = re.findall(r"over its default transport LMCache took\n([^\n]*) there", text)
    assert seconds_in(shown) == pytest.approx(of("redis", "lmcache-pickle"), abs=0.0051)


def test_the_table_of_times_is_the_committed_result():
    seconds = measured()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| ([\d,]+) tokens, .* \|$", text, re.MULTILINE)
    assert len(lines) == 3
    for context in (int(line.replace(",", "")) for line in lines):
        (shown,) = re.findall(rf"^\| {context:,} tokens, [^|]*\|(.*)\|$", text, re.MULTILINE)
        cells = [float(cell.split()[0]) for cell in shown.split("|")]
        redis, host = (f"restored/{context}/{tier}/block128" for tier in ("redis", "host"))
        keys = [(redis, "cold"), (redis, "kvtransfer"), (host, "kvtransfer")]
        for cell, key in zip(cells, [*keys, (redis, "local_hit")], strict=True):
            assert abs(cell - seconds[key]) <= (0.0501 if key[1] == "cold" else 0.00501)


def test_the_ratios_of_blending_are_the_committed_result():
    lines = (ROOT / "benchmarks" / "results" / "blend.jsonl").read_text().splitlines()
    ratios = {(row["case"], row["impl"]): row["more"]["less_x"] for row in map(json.loads, lines)}
    text = (ROOT / "docs" / "blend.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| ([\d,]+) tokens, (\w+)[^|]*\|(.*)\|$", text, re.MULTILINE)
    assert len(shown) == 4
    for tokens, place, cells in shown:
        case = f"reordered/{tokens.replace(',', '')}/{place.lower()}"
        policies = ("first16", "share10", "share15", "share20")
        expected = [ratios[f"{case}/{policy}/cpu", "kvtransfer"] for policy in policies]
        expected.append(ratios[f"{case}/first16/cpu", "exact_hit"])
        found = [float(cell.split()[0]) for cell in cells.split("|")]
        assert found[:-1] == pytest.approx(expected[:-1], abs=0.051)
        assert found[-1] == pytest.approx(expected[-1], abs=0.51)


def test_the_quality_of_blending_is_the_committed_result():
    lines = (ROOT / "benchmarks" / "results" / "blend-quality.jsonl").read_text().splitlines()
    rows = {(row["case"], row["impl"]): row for row in map(json.loads, lines)}
    text = (ROOT / "docs" / "blend.md").read_text(encoding="utf-8")
    kinds = {
        "a text goes on": "cont-4x160",
        "facts chained over passages": "chain-4x160",
        "a long text goes on": "cont-2k",
        "a code is looked up in a long text": "qa-2k",
    }
    shown = re.findall(r"^\| ([a-z ]+) \| (other order|alone) \|(.*)\|$", text, re.MULTILINE)
    assert {kind for kind, _, _ in shown} == kinds.keys()
    for kind, seen, cells in shown:
        case = f"{kinds[kind]}/{seen.replace(' ', '-')}"
        for policy, cell in zip(("first0", "first16", "share20"), cells.split("|"), strict=True):
            row = rows[case, policy]
            found = [float(number) for number in cell.split("±")]
            assert found == pytest.approx([row["value"], row["more"]["kl_se"]], abs=0.00051)


def test_the_table_of_codecs_is_the_committed_result():
    lines = (ROOT / "benchmarks" / "results" / "codec.jsonl").read_text().splitlines()
    values = {(row["case"], row["impl"]): row["value"] for row in map(json.loads, lines)}
    text = (ROOT / "docs" / "codecs.md").read_text(encoding="utf-8")
    rivals = {"a cast to fp8": ("int8", "fp8-cast"), "LMCache's": ("cachegen", "lmcache-cachegen")}
    names = {f"`{codec}`": (codec, "kvtransfer") for codec in CODECS} | rivals
    shown = re.findall(r"^\| ([^|]+) \|[^|]+\| ([\d.]+) x \| ([\d.]+) \| ([\d.]+) \|$", text, re.M)
    assert len(shown) == len(names)
    for name, *cells in shown:
        codec, impl = next(found for begin, found in names.items() if name.startswith(begin))
        cases = (f"{codec}/ratio", f"{codec}/kl/1024", f"{codec}/kl/2048")
        expected = [values[case, impl] for case in cases]
        assert [*map(float, cells)] == pytest.approx(expected, rel=0.06), name


def test_the_rag_load_of_blending_is_the_committed_result():
    lines = (ROOT / "benchmarks" / "results" / "serving.jsonl").read_text().splitlines()
    values = {(row["case"], row["impl"]): row["value"] for row in map(json.loads, lines)}
    text = (ROOT / "docs" / "blend.md").read_text(encoding="utf-8")
    shown = re.findall(
        r"^\| ([a-zLM `]+) \| (\d+) % \| ([\d.]+) s \| (\d+) s \|$", text, re.MULTILINE
    )
    impls = {
        "vLLM": "vllm",
        "with kvtransfer": "kvtransfer",
        "with kvtransfer and `blend`": "blend",
    }
    assert {name for name, *_ in shown} == set(impls)
    for name, hits, p50, p99 in shown:
        assert float(hits) / 100 == pytest.approx(
            values["passages/hit rate", impls[name]], abs=0.006
        )
        assert float(p50) == pytest.approx(values["passages/ttft/p50", impls[name]], abs=0.051)
        assert float(p99) == pytest.approx(values["passages/ttft/p99", impls[name]], abs=0.51)
