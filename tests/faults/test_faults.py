from __future__ import annotations

import pytest

from tests.faults.known import FAULTS
from tests.faults.scenario import CALLS, MOMENTS, strike


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_costs_hits_and_nothing_else(arena, fault, moment):
    for call in CALLS:
        strike(arena, fault, call, moment)
