import io

import pytest

from kvtransfer.chunks.keys import tenant_of_salt


@pytest.mark.parametrize("typed", ["a salt", "a salt\n", "a salt\r\nmore\n"])
def test_a_salt_becomes_the_tenant_of_its_requests(run, monkeypatch, typed):
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    ran = run("tenant")
    assert (ran.status, ran.out) == (0, f"{tenant_of_salt('a salt')}\n")


def test_the_same_for_programs(run, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("7"))
    assert run("tenant", "--json").objects == [{"tenant": tenant_of_salt("7")}]


def test_without_a_salt_there_is_no_tenant(run, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    ran = run("tenant")
    assert (ran.status, ran.out) == (2, "")
    assert (
        ran.err
        == "kvtransfer: there is no cache_salt on standard input; write it in a line there\n"
    )
