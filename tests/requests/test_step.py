from __future__ import annotations

import pytest

from kvtransfer.requests.step import StepInput, only_group


@pytest.mark.parametrize("block_ids", [(), ((1, 2), (3,))])
def test_several_cache_groups_are_refused(block_ids):
    with pytest.raises(ValueError, match=f"block ids of {len(block_ids)} cache groups"):
        only_group(block_ids)


def test_the_only_cache_group_is_taken_as_it_is():
    blocks = [1, 2]
    assert only_group((blocks,)) is blocks


def test_a_step_computes_something_if_any_request_does():
    assert not StepInput().computes
    assert not StepInput(scheduled_tokens={"r": 0}).computes
    assert StepInput(scheduled_tokens={"r": 0, "s": 1}).computes
