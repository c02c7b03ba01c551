import pytest

from kvtransfer.errors import StoreError
from kvtransfer.printable import printable


@pytest.mark.parametrize(
    "text", ["a\nb", "\x1b[31mred", "\u202egnp.exe", "\u2028", "\x00", "\x9b31m", "\ud800", "\r"]
)
def test_nothing_that_a_terminal_obeys_is_shown(text):
    assert printable(text).isprintable()
    assert str(StoreError(text)).isprintable()


def test_ordinary_text_stays_as_it_is():
    assert printable("disk:///srv/Müller: 没有, don't") == "disk:///srv/Müller: 没有, don't"


def test_what_is_long_is_cut():
    assert printable("x" * 9, most=4) == "xxxx..."
    assert len(str(StoreError("x" * 100_000))) < 600
