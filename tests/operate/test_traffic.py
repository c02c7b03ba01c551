import pytest

from kvtransfer.operate.traffic import between, median_of


def test_counters_become_rates_and_shares():
    before = {"vllm:prompt_tokens_total": 1000.0, "kvtransfer:fetched_bytes_total": 50.0}
    after = {
        "vllm:prompt_tokens_total": 3000.0,
        "vllm:prefix_cache_hits_total": 500.0,
        "vllm:external_prefix_cache_hits_total": 1000.0,
        "kvtransfer:fetched_bytes_total": 250.0,
        "kvtransfer:put_dropped_chunks_total": 4.0,
        "kvtransfer:load_failed_chunks_total": 2.0,
        "kvtransfer:open_breakers": 1.0,
    }
    traffic = between(before, after, 2.0)
    assert traffic.prompt_tokens_per_s == 1000
    assert (traffic.local_share, traffic.restored_share) == (0.25, 0.5)
    assert traffic.fetched_bytes_per_s == 100
    assert traffic.lost_chunks_per_s == 3
    assert traffic.open_breakers == 1


def test_without_prompts_there_is_no_share():
    traffic = between({}, {}, 1.0)
    assert (traffic.local_share, traffic.restored_share) == (None, None)
    assert (traffic.load_p50_s, traffic.ttft_p50_s) == (None, None)


def test_a_process_that_began_anew_counts_from_zero():
    before, after = {"vllm:prompt_tokens_total": 900.0}, {"vllm:prompt_tokens_total": 30.0}
    assert between(before, after, 1.0).prompt_tokens_per_s == 30


@pytest.mark.parametrize(
    ("counts", "median"), [((3, 4, 4), 0.1), ((1, 4, 4), 0.5), ((0, 0, 4), None), ((0, 0, 0), None)]
)
def test_the_median_is_the_limit_of_its_bucket(counts, median):
    limits = ("0.1", "0.5", "+Inf")
    after = {
        f"h_bucket{{{limit}}}": 7.0 + count for limit, count in zip(limits, counts, strict=True)
    }
    before = dict.fromkeys(after, 7.0)
    assert median_of("h", before, after) == median
