from __future__ import annotations

import pytest

from tests.faults.known import ACCESS, DATA, JUST_IN_TIME, LINE, SERVER
from tests.faults.scenario import CALLS, afresh, after, before, during, strike


def prove(arena, fault, *moments):
    for moment in moments:
        for call in CALLS:
            strike(arena, fault, call, moment)


def named(faults):
    return pytest.mark.parametrize("fault", faults, ids=lambda fault: fault.name)


@named(SERVER)
def test_a_fault_of_the_server(arena, fault):
    prove(arena, fault, before, afresh, during, after)


@named(ACCESS)
def test_a_right_that_is_taken(arena, fault):
    prove(arena, fault, before, afresh, during)


@named(DATA)
def test_an_entry_that_is_damaged(arena, fault):
    prove(arena, fault, before, during)


@named(LINE)
def test_a_fault_on_the_line(arena, fault):
    prove(arena, fault, before, afresh, during)


def test_a_call_of_several_exchanges_has_one_deadline(arena):
    prove(arena, JUST_IN_TIME, before, during)
