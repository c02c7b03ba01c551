"""Rules whose faults a test can't plant in a server, as they take more than a GiB."""

from __future__ import annotations

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.operate.doctor.server_rules import judge_server
from kvtransfer.stores.redis.inspection import Inspection

GIB = 1 << 30
GOOD = {"maxmemory": str(64 * GIB), "maxmemory_policy": "allkeys-lru", "role": "master"}


def found(**info):
    said = {**GOOD, **{name: str(value) for name, value in info.items()}}
    inspection = Inspection(said, {}, {}, 0.001, 0.0, None, verifies_tls=True)
    findings = judge_server(inspection, TransferConfig.of(), 0.0)
    return {finding.name: finding.change for finding in findings}


@pytest.mark.parametrize("resident", [2 * GIB, 3 * GIB])
def test_memory_as_it_should_be_is_no_finding(resident):
    names = found(used_memory=2 * GIB, used_memory_rss=resident)
    assert not {"swapped", "fragmented"} & names.keys()


def test_memory_that_is_swapped():
    assert "swapped" in found(used_memory=2 * GIB, used_memory_rss=GIB)


@pytest.mark.parametrize(
    ("allocator", "change"),
    [("jemalloc-5.3.0", "set activedefrag yes"), ("libc", "use a build with jemalloc, not libc")],
)
def test_what_to_do_about_fragments_is_what_the_servers_allocator_can(allocator, change):
    named = found(used_memory=2 * GIB, used_memory_rss=4 * GIB, mem_allocator=allocator)
    assert named["fragmented"] == f"{change}, or restart the server; a cache may be emptied"
