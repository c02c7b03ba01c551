"""Prefixes that can be restored, against their definition."""

from __future__ import annotations

import itertools

import pytest

from kvtransfer.connector.sglang.hits import all_pages, leading, trailing_pages

EVERY = [found for length in range(6) for found in itertools.product([False, True], repeat=length)]


@pytest.mark.parametrize("window", [1, 2, 3, 9])
def test_a_window_must_be_there_up_to_its_prefix(window):
    for found in EVERY:
        expected = [
            end for end in range(1, len(found) + 1) if all(found[max(0, end - window) : end])
        ]
        assert trailing_pages(found, window) == expected


def test_all_pages_must_be_there():
    for found in EVERY:
        expected = [end for end in range(1, len(found) + 1) if all(found[:end])]
        assert all_pages(found) == expected
        assert leading(found) == len(expected)
