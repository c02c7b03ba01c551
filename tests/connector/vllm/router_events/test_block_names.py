"""Our blocks have the names that vLLM's block pool publishes."""

from __future__ import annotations

import pytest
from vllm.lora.request import LoRARequest
from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange

from kvtransfer.connector.vllm.router_events.block_names import VllmBlockNames
from kvtransfer.connector.vllm.router_events.translated import as_vllm
from kvtransfer.requests.request_state import RequestState
from kvtransfer.requests.router_events.event import Place, Stored
from tests.connector.vllm.router_events.vllm_requests import BLOCK, device_events, vllm_request

CHUNK = 64
TOKENS = list(range(1000, 1000 + 2 * CHUNK + 5))
NAMES = VllmBlockNames(BLOCK, BLOCK, CHUNK)


@pytest.mark.parametrize("hash_tokens", [BLOCK, BLOCK // 2])
@pytest.mark.parametrize("as_numbers", ["0", "1"])
def test_hashes_tokens_and_parents_are_those_of_the_device_events(
    hash_tokens, as_numbers, monkeypatch
):
    monkeypatch.setenv("VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES", as_numbers)
    request = vllm_request("r", TOKENS, hash_tokens)
    (device,) = device_events(request, 2 * CHUNK // BLOCK, hash_tokens)
    names = VllmBlockNames(BLOCK, hash_tokens, CHUNK)
    first, second = (
        names.blocks_of(RequestState(request), 0),
        names.blocks_of(RequestState(request), 1),
    )
    assert [*first.hashes, *second.hashes] == device.block_hashes
    assert (first.parent, second.parent) == (None, first.hashes[-1])
    assert [*first.token_ids, *second.token_ids] == device.token_ids


def test_an_adapters_blocks_name_it_as_the_device_events_do():
    lora = LoRARequest("style", 7, "/nowhere")
    request = vllm_request("r", TOKENS, lora_request=lora)
    (device,) = device_events(request, CHUNK // BLOCK)
    ours = as_vllm(Stored(Place("GPU"), NAMES.blocks_of(RequestState(request), 0)), 0)
    assert ours == device
    assert (ours.lora_name, ours.lora_id) == ("style", 7)


def test_a_block_that_is_not_full_has_no_name():
    request = vllm_request("r", TOKENS)
    assert NAMES.blocks_of(RequestState(request), 1) is not None
    assert NAMES.blocks_of(RequestState(request), 2) is None


def test_a_request_is_unnamed_where_its_tokens_do_not_tell_its_content():
    image = MultiModalFeatureSpec(None, "image", "id", PlaceholderRange(offset=3, length=9))
    assert NAMES.blocks_of(RequestState(vllm_request("r", TOKENS, cache_salt="a")), 0) is None
    assert NAMES.blocks_of(RequestState(vllm_request("r", TOKENS, mm_features=[image])), 0) is None


def test_without_vllms_prefix_cache_there_are_no_names():
    request = vllm_request("r", TOKENS)
    request.block_hashes.clear()
    assert NAMES.blocks_of(RequestState(request), 0) is None
