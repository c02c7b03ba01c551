"""One name for experts that are spread over processes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch.distributed
import torch.multiprocessing

from kvtransfer.connector.vllm.weights.experts import are_spread, combined


def _hold(rank, held, store, names):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=len(held)
    )
    names[rank] = combined(held[rank], torch.distributed.group.WORLD)
    torch.distributed.destroy_process_group()


def together(tmp_path, held):
    """The name that each of some processes finds."""
    with torch.multiprocessing.Manager() as manager:
        names = manager.dict()
        store = tmp_path / "".join(held)
        torch.multiprocessing.spawn(_hold, (held, store, names), nprocs=len(held))
        return [names[rank] for rank in range(len(held))]


def test_all_find_the_same_name_and_every_experts_weights_count(tmp_path):
    first, second = together(tmp_path, ["a" * 32, "b" * 32])
    assert first == second
    third, _ = together(tmp_path, ["a" * 32, "c" * 32])
    assert third != first


@pytest.mark.parametrize(
    ("settings", "spread"),
    [
        ({}, True),
        ({"data_parallel_size": 1}, False),
        ({"enable_expert_parallel": False}, False),
        ({"enable_elastic_ep": True}, False),
        ({"is_moe": False}, False),
    ],
)
def test_where_experts_are_spread(settings, spread):
    parallel = {"enable_expert_parallel": True, "data_parallel_size": 2, "enable_elastic_ep": False}
    model = SimpleNamespace(is_moe=settings.pop("is_moe", True))
    parallel_config = SimpleNamespace(**parallel | settings)
    config = SimpleNamespace(parallel_config=parallel_config, model_config=model)
    assert are_spread(config) is spread
