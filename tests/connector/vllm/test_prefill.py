"""What engines tell each other of a prompt by way of a router."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvtransfer.connector.vllm.prefill import prefilled_tokens, with_prefilled


def request(params):
    return SimpleNamespace(kv_transfer_params=params, num_prompt_tokens=600)


def test_a_router_that_decodes_elsewhere_is_told_how_long_the_prompt_was():
    asked = request({"do_remote_decode": True, "remote_host": None})
    length = {"kvtransfer": {"prefilled_tokens": 600}}
    assert with_prefilled(asked, None) == length
    # A router hands it all on, and an engine refuses what it wasn't made to be asked.
    assert with_prefilled(asked, {"kvtransfer": {"blend": {"refused": "why"}}}) == length


@pytest.mark.parametrize("params", [None, {}, {"do_remote_decode": False}])
def test_others_are_told_what_they_were_told_before(params):
    assert with_prefilled(request(params), None) is None
    assert with_prefilled(request(params), {"x": 1}) == {"x": 1}


def test_what_one_engine_tells_another_one_reads():
    told = with_prefilled(request({"do_remote_decode": True}), None)
    assert prefilled_tokens(request(told)) == 600


@pytest.mark.parametrize("ours", [None, 7, "600", {}, [600]])
def test_nonsense_is_nothing(ours):
    assert prefilled_tokens(request({"kvtransfer": ours})) == 0


@pytest.mark.parametrize("tokens", [-1, 0, 1.5, True, None, "600", [600]])
def test_no_number_of_tokens_is_nothing(tokens):
    assert prefilled_tokens(request({"kvtransfer": {"prefilled_tokens": tokens}})) == 0
    assert prefilled_tokens(request(None)) == 0
