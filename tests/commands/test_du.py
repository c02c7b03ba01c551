from tests.commands.conftest import TENANT


def test_groups_and_their_sum(run, filled):
    ran = run("du", filled.url)
    lines = [line.split() for line in ran.out.splitlines()]
    assert [line[0] for line in lines] == ["model", "org/model", "other", "total"]
    assert [line[3] for line in lines[1:3]] == ["8", "4"]
    assert lines[3][1] == "12"


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
