"""Which files a disk store takes for its own."""

from __future__ import annotations

import pytest

from kvtransfer.chunks.keys import base_key, piece_key
from kvtransfer.stores.disk.names import is_chunk, is_temporary, new_temporary, path_of

KEY = "ab" * 16


@pytest.mark.parametrize("group", [0, 1, 12])
def test_a_piece_of_any_cache_group_is_one_of_its_chunks(group):
    path = path_of(base_key("org/model", 2, 1, piece_key(KEY, group)))
    owner, fan, name = path.split("/")
    assert (owner, fan) == ("org%2Fmodel@2@1", "ab")
    assert is_chunk(name, fan)
    assert not is_chunk(name, "ac")
    assert is_temporary(new_temporary(name))


@pytest.mark.parametrize("name", [f"{KEY}-.kv", f"{KEY}-a.kv", f"{KEY}--1.kv", f"{KEY}1.kv", "x"])
def test_other_files_are_none_of_them(name):
    assert not is_chunk(name, "ab")
    assert not is_temporary(name)
