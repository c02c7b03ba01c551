from tests.commands.conftest import TENANT
from tests.operate.entries import key_of


def test_an_entry(run, filled):
    ran = run("show", key_of(1), filled.url, "--json")
    (shown,) = ran.objects
    assert (shown["key"], shown["verdict"], shown["tokens"]) == (key_of(1), "good", 256)


def test_whose_it_is(run, filled):
    assert run("show", key_of(4), filled.url, "--json").objects[0]["tenant"] == TENANT


def test_a_damaged_entry_is_shown_and_stays(run, filled):
    filled.damage(key_of(1))
    for _ in range(2):
        assert "damaged" in run("show", key_of(1), filled.url).out
    assert key_of(1) in filled.listed()


def test_no_entry(run, filled):
    ran = run("show", "no such key", filled.url)
    assert ran.status == 2
    assert "no entry 'no such key' in" in ran.err


def test_a_key_is_shown_whole_where_a_line_is_too_short(in_terminal, filled):
    lines = in_terminal(40, "show", key_of(1), filled.url)
    text = "".join(lines)
    assert text.startswith(f"key      {key_of(1)}model")
    assert " UTC, " in text
    assert lines[-1] == "verdict  good"
