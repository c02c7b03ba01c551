"""A set of keys, which also names the tier of each."""

from __future__ import annotations

import pytest

from kvtransfer.scheduling.lookup.located import NOTHING, Located

LOCATED = Located({"a": "disk", "b": "remote", "c": "disk"})


def test_it_is_the_set_of_what_the_store_holds():
    assert set(LOCATED) == {"a", "b", "c"}
    assert len(LOCATED) == 3
    assert "a" in LOCATED
    assert "d" not in LOCATED
    assert LOCATED & {"a", "d"} == {"a"}
    assert LOCATED | {"d"} == {"a", "b", "c", "d"}
    assert isinstance(LOCATED - {"a"}, frozenset)
    assert not NOTHING


def test_it_names_the_tier_of_a_key_that_it_holds():
    assert LOCATED["b"] == "remote"
    with pytest.raises(KeyError):
        LOCATED["d"]
    assert LOCATED.tiers("dba") == [None, "remote", "disk"]
    assert NOTHING.tiers("a") == [None]


def test_there_is_a_sample_of_each_tier_that_serves_a_key():
    samples = LOCATED.samples()
    assert samples["remote"] == "b"
    assert LOCATED[samples["disk"]] == "disk"
    assert samples.keys() == {"disk", "remote"}
    assert NOTHING.samples() == {}


def test_a_part_of_it_still_names_tiers():
    part = LOCATED.only("bdc")
    assert part == {"b", "c"}
    assert (part["b"], part["c"]) == ("remote", "disk")
    assert LOCATED.only([]) == NOTHING
