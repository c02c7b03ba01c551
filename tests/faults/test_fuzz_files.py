"""The start of what ``make soak`` runs in full."""

from __future__ import annotations

import pytest

from tests.faults.fuzz_files import Wrong, fuzz, run

CASES = 2000


def test_hostile_files_cost_what_they_lie_in_place_of(tmp_path):
    fuzz(tmp_path, CASES, seed=1)


def test_they_cost_a_store_of_nixl_no_more(tmp_path):
    fuzz(tmp_path, CASES // 10, seed=3, prefix="nixl://posix")


def test_two_users_share_a_folder_with_hostile_files(common):
    run(common, cases=200, seed=2)


def test_the_fuzzer_finds_a_store_that_deletes_what_is_not_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("kvtransfer.stores.disk.listing.is_chunk", lambda *_: True)
    with pytest.raises(Wrong, match="a foreign file was touched"):
        fuzz(tmp_path, CASES, seed=1)
