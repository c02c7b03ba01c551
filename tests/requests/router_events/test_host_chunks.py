from kvtransfer.requests.router_events.event import Place, Removed, Stored
from kvtransfer.requests.router_events.host_chunks import HostChunks
from kvtransfer.scheduling.changes import Added, Cleared
from kvtransfer.scheduling.changes import Removed as Left
from tests.requests.router_events.replayed import blocks

CPU = Place("CPU")
A, B = blocks(1, 2), blocks(3, 4)


def test_a_chunk_is_told_of_when_its_bytes_are_there_and_when_it_leaves():
    chunks = HostChunks(CPU)
    chunks.expect(1, "a", A)
    assert list(chunks.end([], (), [])) == []
    assert list(chunks.end([1], (), [Added("a")])) == [Stored(CPU, A)]
    assert chunks.blocks("a") == A
    assert list(chunks.follow([Left("a")])) == [Removed(CPU, A.hashes)]
    assert chunks.blocks("a") is None


def test_a_job_that_failed_brings_nothing():
    chunks = HostChunks(CPU)
    chunks.expect(1, "a", A)
    assert list(chunks.end([1], {1}, [])) == []
    assert list(chunks.end([1], (), [])) == []


def test_a_chunk_of_which_no_blocks_are_known_is_told_of_once_a_request_shows_them():
    chunks = HostChunks(CPU)
    assert list(chunks.follow([Added("a")])) == []
    chunks.expect(1, "a", A)  # a later request loads it from host memory
    assert list(chunks.end([1], (), [])) == [Stored(CPU, A)]
    chunks.expect(2, "a", A)
    assert list(chunks.end([2], (), [])) == []


def test_a_log_that_was_cut_short_lists_all_anew():
    chunks = HostChunks(CPU)
    chunks.expect(1, "a", A)
    chunks.expect(2, "b", B)
    list(chunks.end([1, 2], (), [Added("a"), Added("b")]))
    assert list(chunks.follow([Cleared(), Added("b")])) == [
        Removed(CPU, A.hashes),
        Removed(CPU, B.hashes),
        Stored(CPU, B),
    ]


def test_all_that_is_held_is_told_again():
    chunks = HostChunks(CPU)
    chunks.expect(1, "a", A)
    list(chunks.end([1], (), [Added("a"), Added("unknown")]))
    assert list(chunks.repeat()) == [Stored(CPU, A)]


def test_what_is_withdrawn_is_not_removed_again():
    chunks = HostChunks(CPU)
    chunks.expect(1, "a", A)
    list(chunks.end([1], (), [Added("a")]))
    chunks.expect(2, "b", B)
    assert list(chunks.withdraw()) == [Removed(CPU, A.hashes)]
    assert list(chunks.end([2], (), [Added("b"), Left("a"), Left("b")])) == []
