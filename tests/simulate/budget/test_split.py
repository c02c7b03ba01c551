"""What money buys."""

from kvtransfer.chunks.reach import Everything
from kvtransfer.simulate.budget.prices import Prices
from kvtransfer.simulate.budget.split import Shop
from kvtransfer.simulate.grid import Machine
from kvtransfer.simulate.replay import Sizes

PRICES = Prices(host_gib_month_eur=2.0, disk_gib_month_eur=0.1, remote_gib_month_eur=2.5)
MIB64 = Machine(512, 131_072, 1e4, {"host": 2e10, "disk": 4e9, "remote": 2e9})


def test_every_engine_has_host_memory_and_disk_and_all_share_the_remote_store():
    shop = Shop(PRICES, MIB64, 4, 100.0)
    assert shop.tiers == ("host", "disk", "remote")
    assert [shop.gib(tier, 2) for tier in shop.tiers] == [25.0, 500.0, 80.0]
    assert shop.sizes((2, 2, 2)) == Sizes(400, 8000, 1280)


def test_loads_go_through_host_memory_even_where_none_is_bought():
    assert Shop(PRICES, MIB64, 4, 100.0).sizes((0, 1, 0)) == Sizes(1, 4000, 0)


def test_for_one_engine_a_dearer_and_slower_tier_is_not_bought():
    shop = Shop(PRICES, MIB64, 1, 100.0)
    assert shop.tiers == ("host", "disk")
    assert shop.better() == {"remote": "host"}
    assert Shop(PRICES, MIB64, 2, 100.0).better() == {}


def test_a_faster_disk_that_is_cheaper_makes_host_memory_useless():
    fast = Machine(512, 131_072, 1e4, {"host": 2e10, "disk": 3e10, "remote": 2e9})
    assert Shop(PRICES, fast, 1, 100.0).tiers == ("disk",)


def test_of_two_that_are_alike_one_is_bought():
    alike = Prices(host_gib_month_eur=1.0, disk_gib_month_eur=1.0)
    same = Machine(512, 131_072, 1e4, {"host": 1e9, "disk": 1e9, "remote": 1e9})
    assert Shop(alike, same, 1, 100.0).tiers == ("host",)


def test_a_store_that_holds_fewer_bytes_of_a_chunk_is_cheaper_for_it():
    lossless = Machine(
        512,
        131_072,
        1e4,
        {"host": 2e10, "disk": 4e9, "remote": 2e10},
        (Everything(),),
        {"remote": 1.5, "disk": 1.5},
    )
    assert Shop(PRICES, lossless, 1, 100.0).tiers == ("disk", "remote")
