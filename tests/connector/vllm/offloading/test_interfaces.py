"""What vLLM's offloading may call of us, held against the sources of each supported version."""

from __future__ import annotations

import pytest

from tests.connector.vllm.test_vllm_contract import INSTALLED, ROOT, methods
from tests.connector.vllm_variants import OTHER_VERSIONS

pytestmark = pytest.mark.vllm

OURS = ROOT / "connector" / "vllm" / "offloading"
TIERING = "vllm/v1/kv_offload/tiering/base.py"
POLICIES = "vllm/v1/kv_offload/cpu/policies/base.py"

# Methods of the base class that we leave as they are, and why.
INHERITED = {
    "block_size_bytes": "the bytes of a row",
    "bp_detector": "vLLM's own",
    "has_pending_work": "vLLM counts the jobs itself",
    "take_events": "we publish no events",
    "touch": "a store keeps what was put last, or what it was asked for",
    "serve_external_requests": "there are none",
    "build_metric_definitions": "vLLM counts hits, bytes and failures of every tier",
    "get_stats": "likewise",
    "config_info_keys": "nothing is told there",
    "config_info": "likewise",
}


@pytest.mark.parametrize("sources", [INSTALLED, *OTHER_VERSIONS], ids=lambda folder: folder.name)
def test_each_method_is_overridden_or_left_for_a_reason(sources):
    tier = methods(OURS / "tier.py", "KVTransferTier")
    policy = methods(OURS / "policy.py", "LearnedPolicy")
    assert methods(sources / TIERING, "SecondaryTierManager") - tier - INHERITED.keys() == set()
    assert methods(sources / POLICIES, "CachePolicy") - policy == set()
    assert tier & INHERITED.keys() == set(), "they are overridden"


def test_no_reason_is_for_a_method_that_is_gone():
    known = [
        methods(each / TIERING, "SecondaryTierManager") for each in (INSTALLED, *OTHER_VERSIONS)
    ]
    assert INHERITED.keys() - set().union(*known) == set()
