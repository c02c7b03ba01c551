"""What windows and states save of the bytes that a long prompt takes."""

from __future__ import annotations

import pytest

from benchmarks.bench_groups import MODELS, PREFIX_TOKENS, TARGET, bytes_row
from benchmarks.group_models import whole


@pytest.mark.parametrize("name", MODELS)
def test_a_long_prompt_takes_a_third_of_all_layers_bytes_and_is_loaded_whole(name, tmp_path):
    tmp_path.joinpath("config.json").write_text('{"model_type": "llama"}')
    facts = MODELS[name]
    ours = bytes_row(name, "kvtransfer", facts, str(tmp_path))
    everything = bytes_row(name, "whole", whole(facts), str(tmp_path))
    size = facts.groups.chunk_tokens
    chunks = PREFIX_TOKENS // size
    assert ours.more["loaded_tokens"] == everything.more["loaded_tokens"] == chunks * size
    assert everything.bytes == chunks * whole(facts).formats.slot_bytes
    assert ours.bytes <= TARGET * everything.bytes
    assert ours.more["fetched_gib"] == ours.value
