"""What ``kvtransfer simulate TRACE --budget`` answers, on loads whose answer is known."""

from __future__ import annotations

import csv
import io
import json

import pytest

from kvtransfer.cli import main
from kvtransfer.simulate.budget.search import LEVELS

# A chunk of 512 tokens has 64 MiB: 16 chunks a GiB.
PRICES = (
    "host_gib_month_eur: 2\ndisk_gib_month_eur: 0.5\ngpu_hour_eur: 2\nbusy_hours_a_month: 100\n"
)


def prompts(texts, rounds, seconds):
    """``texts`` of 16 chunks each, again and again."""
    count = texts * rounds
    for number in range(count):
        hashes = [f"{number % texts}.{chunk}" for chunk in range(16)]
        at_ms = round(number * seconds * 1e3 / (count - 1))
        yield {"timestamp": at_ms, "tokens": 16 * 512, "hashes": hashes}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four texts of 1 GiB each, six times in an hour."""
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps(each) for each in prompts(4, 6, 3600)]
    (tmp_path / "trace.jsonl").write_text("\n".join(lines))
    (tmp_path / "prices.yaml").write_text(PRICES)
    return tmp_path


def answered(capsys, *options):
    assert main(["simulate", "trace.jsonl", "--prices", "prices.yaml", *options]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return told.out


def test_what_fits_on_disk_alone_is_bought_there_and_no_more(folder, capsys):
    """For 4 EUR there are 2 GiB of host memory, in which LRU serves nothing of a loop of 4, or 8 of disk."""
    options = ("--budget", "4", "--goal", "tokens", "--policy", "lru", "--json")
    found = json.loads(answered(capsys, *options))
    last = found["steps"][-1]
    assert (last["host_gib"], last["disk_gib"]) == (0.0, 4.0)
    assert (last["host_eur"], last["disk_eur"]) == (0.0, 2.0)  # the other half stays unspent
    assert last["restored_share"] == pytest.approx(5 / 6)
    assert [step["eur_a_month"] for step in found["steps"]] == [n / 2 for n in range(LEVELS + 1)]
    shares = [step["restored_share"] for step in found["steps"]]
    assert shares == sorted(shares)


def test_gpu_hours_are_those_of_the_months_busy_hours(folder, capsys):
    """20 of 24 prompts, each of 8,192 tokens: 16.4 s of computing at 10,000 tokens/s, and 5 s of loading."""
    found = json.loads(answered(capsys, "--budget", "4", "--policy", "lru", "--json"))
    last = found["steps"][-1]
    saved_s = 20 * (8192 / 1e4 - 2**30 / 4e9)
    assert last["saved_s_per_request"] == pytest.approx(saved_s / 24)
    assert last["gpu_hours_a_month"] == pytest.approx(saved_s / 3600 * 100)
    assert last["gpu_eur_a_month"] == pytest.approx(2 * saved_s / 3600 * 100)
    before = found["steps"][3]
    assert found["steps"][4]["further_gpu_hours"] == pytest.approx(
        (last["gpu_hours_a_month"] - before["gpu_hours_a_month"]) / 0.5 * 100
    )


@pytest.mark.parametrize(
    ("hour_eur", "said"),
    [
        ("0.001", "GPU hours are cheaper: 100 EUR buy 100,000, and no cache here saves as many"),
        ("20", "cache is cheaper than GPU hours up to 2 EUR: 2 EUR save GPU hours that cost"),
    ],
)
def test_it_says_when_a_gpu_hour_is_cheaper(folder, capsys, hour_eur, said):
    (folder / "prices.yaml").write_text(
        PRICES.replace("gpu_hour_eur: 2", f"gpu_hour_eur: {hour_eur}")
    )
    assert said in answered(capsys, "--budget", "4", "--policy", "lru")


def test_a_budget_that_is_too_small_for_the_best_cache_says_that_more_may_pay(folder, capsys):
    (folder / "prices.yaml").write_text(PRICES.replace("gpu_hour_eur: 2", "gpu_hour_eur: 50"))
    said = answered(capsys, "--budget", "2", "--policy", "lru")
    assert "cache is cheaper than GPU hours up to the budget, or further" in said


def test_tensor_parallel_ranks_save_the_hours_of_all_their_gpus(folder, capsys):
    options = (
        "--budget",
        "4",
        "--policy",
        "lru",
        "--host-gb-s",
        "1e6",
        "--disk-gb-s",
        "1e6",
        "--json",
    )
    hours = [
        json.loads(answered(capsys, *options, "--tensor-parallel-size", ranks))["steps"][-1][
            "gpu_hours_a_month"
        ]
        for ranks in ("1", "4")
    ]
    assert hours[1] == pytest.approx(4 * hours[0], rel=1e-3)


def test_a_store_that_engines_share_is_bought_when_there_are_several(folder, capsys):
    """Requests go to eight engines in turn: each has the same text three times, and another one none."""
    (folder / "prices.yaml").write_text(PRICES + "remote_gib_month_eur: 0.6\n")
    options = ("--budget", "2.4", "--goal", "tokens", "--policy", "lru", "--json")
    alone = json.loads(answered(capsys, *options))
    assert alone["steps"][-1]["remote_gib"] == 0
    assert "remote is not bought: disk is no slower, and no dearer for a chunk" in alone["answer"]
    fleet = json.loads(answered(capsys, *options, "--instances", "8"))
    assert fleet["steps"][-1]["remote_gib"] == pytest.approx(4.0)
    assert fleet["steps"][-1]["restored_share"] == pytest.approx(5 / 6)


@pytest.mark.parametrize(("groups", "policy"), [("full", "learned"), ("full,window:512", "lru")])
def test_the_policy_is_the_one_that_an_engine_takes(folder, capsys, groups, policy):
    found = json.loads(answered(capsys, "--budget", "4", "--groups", groups, "--json"))
    assert found["assumptions"]["policy"] == policy


def test_a_trace_without_times_is_not_compared_with_gpus(folder, capsys):
    lines = [{"tokens": 512, "hashes": ["a"]}] * 4
    (folder / "trace.jsonl").write_text("\n".join(map(json.dumps, lines)))
    said = answered(capsys, "--budget", "4")
    assert "the trace has no times, so what is saved is not compared with GPU hours" in said


def test_tables_json_and_csv_have_the_same_figures_and_assumptions(folder, capsys):
    options = ("--budget", "4", "--policy", "lru")
    table = answered(capsys, *options)
    found = json.loads(answered(capsys, *options, "--json"))
    rows = list(csv.DictReader(io.StringIO(answered(capsys, *options, "--csv"))))
    assert "prices: EUR a GiB and month: host 2, disk 0.5; a GPU hour 2 EUR" in table
    for sentence in found["answer"]:
        assert sentence in table
    assert len(rows) == len(found["steps"]) == LEVELS + 1
    for row, step in zip(rows, found["steps"], strict=True):
        for name, value in {**found["assumptions"], **step}.items():
            assert row[name] == ("" if value is None else str(value)), name


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_picture_is_drawn(folder, capsys, ending):
    answered(capsys, "--budget", "4", "--policy", "lru", "--plot", f"budget.{ending}")
    assert (folder / f"budget.{ending}").read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget", "4"], "--budget needs --prices; examples/prices.yaml shows"),
        (["--prices", "prices.yaml"], "--prices needs --budget; name the euros a month"),
        (["--goal", "tokens"], "--goal needs --budget"),
        (["--budget", "none"], "--budget: 'none' is not a number above 0"),
        (
            ["--budget", "4", "--goal", "hits"],
            "--goal: 'hits' is not known; known are seconds, tokens",
        ),
        (
            ["--budget", "4", "--host", "5"],
            "--host doesn't go with --budget; leave out one of them",
        ),
        (
            ["--budget", "4", "--prices", "prices.yaml", "--policy", "lru,arc"],
            "--policy takes one value for --budget, not 2",
        ),
        (["--budget", "4", "--break-even"], "--budget doesn't go with --break-even"),
    ],
)
def test_what_does_not_go_together_is_said(folder, capsys, options, said):
    trace = [] if "--break-even" in options else ["trace.jsonl"]
    assert main(["simulate", *trace, *options]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
