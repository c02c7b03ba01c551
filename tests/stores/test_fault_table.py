import pytest

from tests.stores.fault_table import FAULTS, ROOT, STORES, is_run, markdown


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_the_table_is_run(fault):
    tests = FAULTS[fault]
    assert len(tests) == len(STORES)
    assert [test for test in tests if test and not is_run(test)] == []


def test_the_page_shows_the_table():
    assert markdown() in (ROOT / "docs" / "stores.md").read_text(encoding="utf-8")


def test_a_fault_without_a_test_is_found():
    assert not is_run("disk: no_such_fault")
    assert not is_run("no such fault")
