"""vLLM's own prefix cache is stale until a reset of it has succeeded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvtransfer.connector.vllm.weights.cache_resets import note_resets
from kvtransfer.requests.keys.agreed_weights import AgreedWeights
from kvtransfer.requests.keys.local_cache import LocalCache


@pytest.mark.parametrize("succeeds", [True, False])
def test_only_a_reset_that_succeeds_is_noted(succeeds):
    agreed = AgreedWeights(1)
    cache = LocalCache(agreed)
    manager = SimpleNamespace(reset_prefix_cache=lambda: succeeds)
    released = []
    scheduler = SimpleNamespace(note_local_reset=cache.note_reset)
    note_resets(manager, scheduler, SimpleNamespace(release=lambda: released.append(True)))
    agreed.expect()
    agreed.expect()
    cache.change_weights(2)
    assert cache.is_stale
    assert manager.reset_prefix_cache() is succeeds
    assert cache.is_stale is not succeeds
    assert released == [True]
