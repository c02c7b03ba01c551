import pytest

from tests.commands.conftest import TENANT


def test_one_model(run, filled):
    ran = run("clear", filled.url, "--model", "other", "--json")
    assert ran.status == 0
    assert (ran.objects[0]["entries"], ran.objects[0]["stored_bytes"]) == (4, 4 * 10240)
    assert len(filled.listed()) == 8


def test_one_tenant(run, filled):
    (cleared,) = run("clear", filled.url, "--tenant", TENANT, "--json").objects
    assert cleared["entries"] == 3
    assert len(filled.listed()) == 9


def test_a_dry_run_removes_nothing(run, filled):
    ran = run("clear", filled.url, "--all", "--dry-run")
    assert "would be removed  12 entries, 120 KiB" in ran.out
    assert len(filled.listed()) == 12


def test_everything(run, filled):
    assert run("clear", filled.url, "--all").status == 0
    assert filled.listed() == []


def test_what_is_young_stays(run, filled):
    assert run("clear", filled.url, "--older-than", "1d").status == 0
    assert len(filled.listed()) == 12


@pytest.mark.parametrize(
    "vague", [(), ("--all", "--orphans"), ("--all", "--model", "other")], ids=str
)
def test_what_to_remove_must_be_said_once(run, filled, vague):
    ran = run("clear", filled.url, *vague)
    assert ran.status == 2
    assert "say what to remove" in ran.err
    assert len(filled.listed()) == 12
