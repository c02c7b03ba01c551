from contextlib import closing

import pytest

from kvtransfer.stores import StoreSettings
from kvtransfer.stores.open import open_entries
from tests.commands.conftest import TENANT
from tests.operate.entries import FACTS, key_of


def test_groups_and_their_sum(run, filled):
    ran = run("du", filled.url)
    lines = [line.split() for line in ran.out.splitlines()]
    assert [line[0] for line in lines] == ["model", "org/model", "other", "total"]
    assert [line[3] for line in lines[1:3]] == ["8", "4"]
    assert lines[3][1] == "12"
    assert ran.err == ""


def test_as_json(run, filled):
    (row,) = run("du", filled.url, "--by", "codec", "--json").objects
    assert (row["codec"], row["entries"], row["bytes"]) == ("naive", 12, 12 * 10240)


def test_a_column_that_is_not_there(run, filled):
    ran = run("du", filled.url, "--by", "colour")
    assert ran.status == 2
    assert "'colour' is not one of" in ran.err


def test_by_tenant(run, filled):
    rows = run("du", filled.url, "--by", "tenant", "--json").objects
    assert [(row["tenant"], row["entries"]) for row in rows] == [
        ("none", 9),
        (TENANT, 3),
        ("total", 12),
    ]


def test_an_empty_store(run, tmp_path):
    ran = run("du", f"disk://{tmp_path}/chunks")
    assert (ran.status, ran.out) == (0, "")
    assert ran.err.endswith("holds no entry of ours\n")


@pytest.mark.parametrize("model", ["org/" + "long-" * 30, "[bold]m[/bold]"])
def test_a_name_is_printed_as_it_is(run, tmp_path, model):
    url = f"disk://{tmp_path}/chunks"
    with closing(open_entries(url, StoreSettings())) as store:
        assert store.put(key_of(1, model), memoryview(b"payload"), FACTS)
    assert run("du", url).out.splitlines()[1].split()[0] == model
