from __future__ import annotations

import os

import pytest
import torch

from kvtransfer.device.free_cores import free_cores


@pytest.mark.parametrize(
    ("usable", "computing", "free"),
    [(1, 1, 0), (2, 1, 1), (2, 2, 0), (1, 8, 0), (4, 2, 2), (64, 32, 3)],
)
def test_cores_that_the_engine_does_not_compute_on_are_free(monkeypatch, usable, computing, free):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(usable)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: computing)
    assert free_cores() == free


def test_without_affinities_all_cores_are_usable(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert free_cores() == 2
