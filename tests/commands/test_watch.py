from contextlib import closing

from kvtransfer.commands import watch as watching
from kvtransfer.operate.usage import summed
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.open import open_entries
from tests.operate.entries import entry, key_of


def by_model(*entries):
    return summed(entries, ["model"], 0)


def test_what_came_and_went():
    before = by_model(entry(1, nbytes=10), entry(2, nbytes=5, model="gone"))
    after = by_model(entry(1, nbytes=10), entry(3, nbytes=7), entry(4, model="new", nbytes=3))
    assert list(watching.changes(before, after)) == [
        {"model": "gone", "entries": 0, "more_entries": -1, "bytes": 0, "more_bytes": -5},
        {"model": "new", "entries": 1, "more_entries": 1, "bytes": 3, "more_bytes": 3},
        {"model": "org/model", "entries": 2, "more_entries": 1, "bytes": 17, "more_bytes": 7},
    ]


def test_a_removed_entry_is_told(run, filled, monkeypatch):
    def remove_one(_):
        with closing(open_entries(filled.url, StoreSettings())) as store:
            store.remove(key_of(1))

    monkeypatch.setattr(watching.time, "sleep", remove_one)
    ran = run("watch", filled.url, "--count", 2, "--rate", 0, "--json")
    assert ran.status == 0
    (change,) = ran.objects
    assert (change["model"], change["more_entries"]) == ("org/model", -1)


def test_nothing_that_changes_is_nothing_to_say(run, filled):
    assert run("watch", filled.url, "--count", 1, "--interval", 0.1).out == ""


def test_it_says_what_it_watches(run, filled):
    ran = run("watch", filled.url, "--count", 1, "--interval", 0.1)
    assert ran.err.endswith("holds 12 entries, 120 KiB; looking every 0.1 s\n")
