from rich.text import Text

from kvtransfer.commands.columns import Column, that_fit


def column(title, width, leaves):
    return Column(title, width, leaves, Text)


COLUMNS = [column("first\nunit", 6, 0), column("second", 8, 2), column("third", 4, 1)]


def names(columns):
    return [each.name for each in columns]


def test_all_where_there_is_room():
    shown, left_out = that_fit(COLUMNS, 24)
    assert (names(shown), left_out) == (["first", "second", "third"], [])


def test_what_matters_least_leaves_first_and_the_order_stays():
    shown, left_out = that_fit(COLUMNS, 23)
    assert (names(shown), names(left_out)) == (["first", "third"], ["second"])


def test_what_always_matters_stays():
    shown, left_out = that_fit(COLUMNS, 0)
    assert (names(shown), names(left_out)) == (["first"], ["second", "third"])
