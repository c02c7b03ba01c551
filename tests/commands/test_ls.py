from tests.commands.conftest import TENANT


def test_entries_are_listed_one_a_line(run, filled):
    ran = run("ls", filled.url)
    assert ran.status == 0
    assert sorted(line.split()[-1] for line in ran.out.splitlines()) == filled.listed()
    assert "10 KiB" in ran.out


def test_as_json(run, filled):
    ran = run("ls", filled.url, "--json", "--model", "other", "--limit", 2)
    assert [each["model"] for each in ran.objects] == ["other", "other"]
    assert ran.objects[0]["bytes"] == 10240
    assert ran.objects[0]["codec"] == "naive"


def test_a_selection(run, filled):
    assert run("ls", filled.url, "--older-than", "1h").out == ""
    assert len(run("ls", filled.url, "--model", "org/model").out.splitlines()) == 8


def test_a_wrong_duration_is_one_sentence(run, filled):
    ran = run("ls", filled.url, "--older-than", "soon")
    assert (ran.status, ran.out) == (2, "")
    assert "'soon' is no duration" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_the_url_comes_from_the_environment(run, filled, monkeypatch):
    monkeypatch.setenv("KVTRANSFER_REMOTE_URL", filled.url)
    assert len(run("ls").out.splitlines()) == 12


def test_without_a_url(run, monkeypatch):
    monkeypatch.delenv("KVTRANSFER_REMOTE_URL", raising=False)
    ran = run("ls")
    assert ran.status == 2
    assert "name the store: a URL, or KVTRANSFER_REMOTE_URL" in ran.err


def test_a_store_that_does_not_answer(run):
    ran = run("ls", "redis://:secret@127.0.0.1:1/0")
    assert (ran.status, ran.out) == (3, "")
    assert len(ran.err.splitlines()) == 1
    assert "secret" not in ran.err


def test_a_tenant(run, filled):
    lines = run("ls", filled.url, "--tenant", TENANT).out.splitlines()
    assert len(lines) == 3
    assert all(line.split()[-2] == TENANT[:8] for line in lines)
    assert len(run("ls", filled.url, "--tenant", "none").out.splitlines()) == 9


def test_a_terminal_shows_a_header_and_each_key_in_one_piece(in_terminal, filled):
    header, *lines = in_terminal(120, "ls", filled.url)
    assert header.split() == ["stored", "age", "codec", "dtype", "tokens", "tenant", "key"]
    assert sorted(line.split()[-1] for line in lines) == filled.listed()
    assert {line.index("naive") for line in lines} == {header.index("codec")}
    assert header.index("key") == lines[0].index(lines[0].split()[-1])


def test_nothing_is_said_to_be_nothing(run, filled):
    ran = run("ls", filled.url, "--older-than", "1h")
    assert (ran.status, ran.out) == (0, "")
    assert "holds no entry of ours that the options ask for" in ran.err
