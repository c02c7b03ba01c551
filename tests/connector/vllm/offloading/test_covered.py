from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.connector.vllm.offloading import covered
from kvtransfer.connector.vllm.offloading.covered import refuse_uncovered, tell_tiers
from kvtransfer.connector.vllm.offloading.places import COVERED, MODULE, our_tiers
from kvtransfer.errors import ConfigError

pytestmark = pytest.mark.vllm


def config(algorithm="sha256", *, lora=None, images=False, nodes=1, executor="mp"):
    return SimpleNamespace(
        cache_config=SimpleNamespace(prefix_caching_hash_algo=algorithm),
        lora_config=lora,
        model_config=SimpleNamespace(is_multimodal_model=images),
        parallel_config=SimpleNamespace(
            nnodes_within_dp=nodes, distributed_executor_backend=executor
        ),
    )


@pytest.mark.parametrize("algorithm", ["sha256", "sha256_cbor"])
def test_what_vllms_hashes_name_is_served(algorithm):
    refuse_uncovered(config(algorithm), TransferConfig())
    trusting = TransferConfig(trust_media_uuids=True)
    refuse_uncovered(config(algorithm, images=True), trusting)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"algorithm": "xxhash_cbor"}, "prefix_caching_hash_algo=xxhash_cbor"),
        ({"lora": object()}, "LoRA adapter"),
        ({"images": True}, "set trust_media_uuids to true"),
        ({"nodes": 2}, "nnodes=2"),
        ({"executor": "ray"}, "executor ray"),
    ],
)
def test_what_they_do_not_name_is_refused(changes, says):
    with pytest.raises(ConfigError, match=says):
        refuse_uncovered(config(**changes), TransferConfig())


def test_each_of_our_tiers_is_told_and_the_callers_configuration_is_left(monkeypatch):
    monkeypatch.setattr(covered, "covered_by_keys", lambda _, config: f"for {config.namespace}")
    ours = {"type": "KVTransferTier", "module_path": MODULE, "remote_url": "memory://"}
    tiers = [
        {"type": "fs", "root_dir": "x"},
        {**ours, "namespace": "a"},
        {**ours, "locality": "REMOTE"},
    ]
    offloading = {
        "kv_connector": "OffloadingConnector",
        "kv_connector_extra_config": {"secondary_tiers": tiers},
    }
    given = {"connectors": [{"kv_connector": "KVTransferConnector"}, offloading]}
    before = repr(given)
    given_config = config()
    given_config.kv_transfer_config = SimpleNamespace(
        kv_connector="MultiConnector", kv_connector_extra_config=given
    )
    tell_tiers(given_config)
    assert repr(given) == before
    told = [tier[COVERED] for tier in our_tiers(given_config.kv_transfer_config)]
    assert told == ["for a", "for "]


@pytest.mark.parametrize(
    "transfer",
    [
        None,
        SimpleNamespace(kv_connector="KVTransferConnector", kv_connector_extra_config={}),
        SimpleNamespace(
            kv_connector="OffloadingConnector",
            kv_connector_extra_config={"secondary_tiers": [{"type": "fs"}]},
        ),
        SimpleNamespace(kv_connector="OffloadingConnector", kv_connector_extra_config={}),
    ],
    ids=["none", "ours", "fs", "no tier"],
)
def test_other_configurations_are_left_alone(transfer):
    before = repr(transfer)
    tell_tiers(SimpleNamespace(kv_transfer_config=transfer))
    assert repr(transfer) == before
