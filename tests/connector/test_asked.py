"""What a request's caller may ask, and the one sentence for each mistake."""

from __future__ import annotations

import pytest

from kvtransfer.connector.asked import asked_of
from kvtransfer.connector.vllm.request_check import refuse
from kvtransfer.errors import ConfigError
from kvtransfer.requests.control import Control

WRONG = [
    ({"fist": 3}, "there is no 'fist'; known are load, save, max_tokens, priority, ttl_s"),
    ({"ttl_s": 0}, "['ttl_s'] is 0: Input should be greater than or equal to 1"),
    ({"ttl_s": 10**10}, "['ttl_s'] is 10000000000: Input should be less than"),
    ({"ttl_s": "1h"}, "['ttl_s'] is '1h': Input should be a valid integer"),
    ({"ttl_s": 60, "save": False}, "pass ttl_s or save: false, not both"),
    ({"load": 0}, "['load'] is 0: Input should be a valid boolean"),
    ({"save": "no"}, "['save'] is 'no': Input should be a valid boolean"),
    ({"max_tokens": -1}, "['max_tokens'] is -1: Input should be greater than or equal to 0"),
    ({"max_tokens": 1.5}, "['max_tokens'] is 1.5"),
    ({"priority": 10**7}, "['priority'] is 10000000: Input should be less than"),
    ({"first": 1, "share": 0.5}, "pass first or share, not both"),
    ({"blend": True, "load": False}, "pass blend without load and max_tokens"),
    ({"blend": True, "max_tokens": 64}, "pass blend without load and max_tokens"),
    ({"segments": [[0, "x"]]}, "['segments'][0][1] is 'x'"),
    ({"x" * 500: 1}, "xxx..."),
    ("load", "write a mapping of names to values, not 'load'"),
    ([1] * 1000, "write a mapping of names to values, not [1, 1, 1"),
]


def test_nothing_said_changes_nothing():
    assert asked_of({}).control == Control()
    assert asked_of({}).may_blend


def test_what_is_said_is_done():
    asked = asked_of({"load": False, "save": False, "max_tokens": 512, "priority": -3})
    control = Control(loads=False, saves=False, most_loaded_tokens=512, priority=-3)
    assert asked.control == control
    assert not asked.may_blend
    assert not asked_of({"max_tokens": 0}).may_blend
    assert asked_of({"ttl_s": 60}).control == Control(ttl_s=60)


@pytest.mark.parametrize(("params", "said"), WRONG)
def test_a_mistake_is_one_short_sentence(params, said):
    with pytest.raises(ConfigError) as caught:
        asked_of(params)
    assert str(caught.value).startswith("kv_transfer_params['kvtransfer']")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "extra_args",
    [
        None,
        {},
        {"kv_transfer_params": None},
        {"kv_transfer_params": {"do_remote_prefill": True}},
        {"kv_transfer_params": {"kvtransfer": None}},
        {"kv_transfer_params": {"kvtransfer": {"load": False}}},
    ],
)
def test_the_front_end_lets_other_requests_pass(extra_args):
    refuse(extra_args)


def test_the_front_end_refuses_mistakes():
    with pytest.raises(ConfigError, match="'loads'"):
        refuse({"kv_transfer_params": {"kvtransfer": {"loads": False}}})
