from kvtransfer.operate.usage import columns, summed
from tests.operate.entries import FACTS, entry

NOW_S = 1_000_000


def test_groups_are_summed_up_the_largest_first():
    entries = [
        entry(1, nbytes=10, created_s=5),
        entry(2, nbytes=20, created_s=3),
        entry(3, nbytes=500, model="other", created_s=9),
    ]
    groups = summed(entries, ["model", "codec"], NOW_S)
    assert list(groups) == [("other", "naive"), ("org/model", "naive")]
    usage = groups["org/model", "naive"]
    assert (usage.entries, usage.stored_bytes, usage.tokens) == (2, 30, 512)
    assert (usage.oldest_s, usage.newest_s) == (3, 5)


def test_groups_join():
    groups = summed([entry(1, created_s=7), entry(2, model="b", created_s=4)], ["model"], NOW_S)
    first, second = groups.values()
    first.join(second)
    assert (first.entries, first.oldest_s, first.newest_s) == (2, 4, 7)


def test_every_column_names_a_group():
    found = entry(nbytes=2 << 20, created_s=NOW_S - 7200)
    assert {name: of(found) for name, of in columns(NOW_S).items()} == {
        "model": "org/model",
        "codec": "naive",
        "dtype": "bfloat16",
        "tenant": "none",
        "seal": "xxh3",
        "rank": "0 of 1",
        "age": "1 to 24 h",
        "size": "1 to 8 MiB",
    }


def test_tenants_are_told_apart():
    entries = [entry(1, tenant="ab"), entry(2), entry(3, tenant="ab")]
    assert [*summed(entries, ["tenant"], NOW_S)] == [("ab",), ("none",)]


def test_the_oldest_and_the_largest_have_a_group():
    found = entry(nbytes=1 << 30, created_s=0, facts=FACTS)
    assert [columns(NOW_S)[name](found) for name in ("age", "size")] == ["over 7 d", "over 32 MiB"]
