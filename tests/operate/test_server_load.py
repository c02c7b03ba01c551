from kvtransfer.operate.server_load import load_between

BEFORE = {
    "used_memory": "100",
    "maxmemory": "1000",
    "keyspace_hits": "10",
    "keyspace_misses": "10",
    "total_commands_processed": "50",
    "evicted_keys": "4",
    "connected_clients": "3",
}


def test_what_grows_is_told_by_the_second_and_the_rest_as_it_is():
    after = {
        **BEFORE,
        "used_memory": "300",
        "keyspace_hits": "40",
        "keyspace_misses": "20",
        "total_commands_processed": "150",
        "evicted_keys": "14",
    }
    load = load_between(BEFORE, after, 2.0)
    assert (load.used_bytes, load.limit_bytes, load.clients) == (300, 1000, 3)
    assert (load.hit_share, load.commands_per_s, load.evicted_per_s) == (0.75, 50, 5)


def test_a_server_that_began_anew_counts_from_zero():
    load = load_between(BEFORE, {**BEFORE, "evicted_keys": "2"}, 1.0)
    assert load.evicted_per_s == 2


def test_what_a_server_does_not_tell_is_zero_and_no_share():
    load = load_between({}, {"used_memory": "much"}, 1.0)
    assert (load.used_bytes, load.commands_per_s, load.hit_share) == (0, 0, None)
