"""The default eviction policy by cache groups; a configured one is obeyed."""

from __future__ import annotations

import logging

import pytest

from kvtransfer.chunks.groups import Groups
from kvtransfer.chunks.reach import LocalChunks, State, Window
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.config import TransferConfig
from kvtransfer.requests.eviction_choice import eviction_policy

FULL = Tiling(8, 8)


@pytest.mark.parametrize("reach", [Window(8), LocalChunks(8), State()])
def test_the_default_is_lru_beside_windows_and_states(reach, caplog):
    caplog.set_level(logging.INFO, "kvtransfer")
    groups = Groups((FULL, Tiling(8, 8, reach)))
    assert eviction_policy(TransferConfig.of(), groups) == "lru"
    (record,) = caplog.records
    assert "eviction_policy is lru" in record.getMessage()


@pytest.mark.parametrize("groups", [Groups((FULL,)), Groups((FULL, FULL))])
def test_the_default_stays_where_every_group_reads_all(groups, caplog):
    caplog.set_level(logging.INFO, "kvtransfer")
    assert eviction_policy(TransferConfig.of(), groups) == "learned"
    assert not caplog.records


@pytest.mark.parametrize("name", ["learned", "lru", "arc"])
def test_a_configured_policy_is_obeyed(name):
    groups = Groups((FULL, Tiling(8, 8, State())))
    assert eviction_policy(TransferConfig.of(eviction_policy=name), groups) == name


def test_a_policy_of_the_environment_is_obeyed():
    config = TransferConfig.load(environ={"KVTRANSFER_EVICTION_POLICY": "learned"})
    assert eviction_policy(config, Groups((Tiling(8, 8, State()),))) == "learned"


def test_a_chance_of_admission_keeps_the_policy_that_knows_it():
    groups = Groups((FULL, Tiling(8, 8, State())))
    assert eviction_policy(TransferConfig.of(admit_chance=0.1), groups) == "learned"
