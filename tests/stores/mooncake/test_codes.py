from __future__ import annotations

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores.mooncake.codes import CODES


def test_what_is_not_there_is_no_failure():
    CODES.require([8388608, -704, -712], CODES.absent)
    CODES.require([-703, -714], CODES.absent, CODES.busy)


@pytest.mark.parametrize(
    ("code", "told"),
    [(-707, "default_kv_lease_ttl"), (-901, "in time"), (-704, "failed"), (-9999, "-9999")],
)
def test_a_failure_says_what_it_is(code, told):
    with pytest.raises(StoreError, match=told):
        CODES.require([0, code], CODES.full)


def test_no_number_means_two_things():
    kinds = [CODES.absent, CODES.unfit, CODES.busy, CODES.full]
    numbers = [number for kind in kinds for number in kind]
    assert len(set(numbers)) == len(numbers)
