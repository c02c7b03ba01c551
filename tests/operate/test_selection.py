import pytest

from kvtransfer.operate.selection import Selection
from tests.operate.entries import entry

NOW_S = 1_000_000


def test_nothing_asked_is_everything():
    assert Selection().is_everything
    assert Selection().has(entry(), NOW_S)
    assert not Selection(model="org/model").is_everything


@pytest.mark.parametrize(
    ("selection", "is_chosen"),
    [
        (Selection(model="org/model"), True),
        (Selection(model="org"), False),
        (Selection(codec="naive"), True),
        (Selection(codec="int8"), False),
        (Selection(dtype="bfloat16"), True),
        (Selection(dtype="float32"), False),
        (Selection(older_than_s=100), True),
        (Selection(older_than_s=101), False),
        (Selection(tenant="ab"), True),
        (Selection(tenant="none"), False),
        (Selection(tenant="a"), False),
        (Selection(model="org/model", older_than_s=101), False),
        (Selection(model="org/model", codec="naive", dtype="bfloat16", older_than_s=1), True),
    ],
)
def test_an_entry_has_all_that_is_asked(selection, is_chosen):
    found = entry(created_s=NOW_S - 100, tenant="ab")
    assert selection.has(found, NOW_S) is is_chosen
