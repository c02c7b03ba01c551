"""The file of prices: what it says, and what is refused."""

from pathlib import Path

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.simulate.budget.prices import read_prices

EXAMPLE = Path(__file__).parents[3] / "examples" / "prices.yaml"


def test_the_example_is_read_and_says_that_it_is_one():
    prices = read_prices(EXAMPLE)
    assert list(prices.gib_month_eur) == ["host", "disk", "remote"]
    assert "examples of November 2026, assumed" in prices.line()
    assert "a GPU hour 2.5 EUR" in prices.line()
    assert "240 hours a month are as in the trace" in prices.line()


def test_what_has_no_price_cannot_be_bought(tmp_path):
    (tmp_path / "prices.yaml").write_text("disk_gib_month_eur: 0.1\n")
    prices = read_prices(tmp_path / "prices.yaml")
    assert prices.gib_month_eur == {"disk": 0.1}
    assert prices.busy_hours_a_month == 730


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host_gib_mont_eur: 2", "'host_gib_mont_eur' is not known; known are host_gib_month_eur"),
        ("host_gib_month_eur: free", "host_gib_month_eur is 'free'; write a number above 0"),
        ("host_gib_month_eur: 0", "host_gib_month_eur is 0; write a number above 0"),
        ("host_gib_month_eur: .nan", "host_gib_month_eur is nan; write a number above 0"),
        ("host_gib_month_eur: true", "host_gib_month_eur is True; write a number above 0"),
        ("note: [1]", "'note' is not known; known are"),
        ("gpu_hour_eur: 2", "it has no price of a tier; name host_gib_month_eur"),
        ("[1, 2]", "[1, 2] are no names with prices"),
        ("a: b: c", "this is not YAML"),
        ("!!python/object:os.system {}", "this is not YAML"),
    ],
)
def test_what_is_no_price_is_refused_in_a_sentence(text, said, tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_prices(path)
    assert str(refused.value).startswith(f"--prices {path}: ")
    assert said in str(refused.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere: No such file"):
        read_prices(tmp_path / "nowhere")
