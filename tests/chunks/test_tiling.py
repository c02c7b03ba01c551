"""How the pieces of chunks lie in a request's blocks, for every kind of cache group."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.chunks.reach import Everything, LocalChunks, State, Window
from kvtransfer.chunks.tiling import Tiling


@st.composite
def tilings(draw):
    """A chunk is one or more blocks; of a state's group, it is one block."""
    block_tokens = draw(st.sampled_from([1, 2, 4, 8]))
    reach = draw(
        st.one_of(
            st.just(Everything()),
            st.builds(Window, st.integers(2, 50), st.integers(0, 3)),
            st.builds(LocalChunks, st.integers(1, 50)),
            st.just(State()),
        )
    )
    blocks = 1 if isinstance(reach, State) else draw(st.integers(1, 6))
    return Tiling(block_tokens * blocks, block_tokens, reach)


def table(tiling, hit_tokens):
    """As vLLM allocates it for a hit: null blocks first, then others, none of them twice."""
    first = tiling.reach.first_token(hit_tokens) // tiling.block_tokens
    return [0] * first + list(range(100 + first, 100 + hit_tokens // tiling.block_tokens))


def placed(tiling, hit_tokens, skip_tokens=0):
    block_ids = table(tiling, hit_tokens)
    return [
        tiling.place(chunk, str(chunk), block_ids, hit_tokens, skip_tokens)
        for chunk in tiling.needed(hit_tokens, skip_tokens)
    ]


@given(tilings(), st.integers(1, 8), st.data())
def test_a_hit_fills_the_blocks_that_the_engine_allocates_and_no_others(tiling, chunks, data):
    hit_tokens = chunks * tiling.chunk_tokens
    skip_blocks = data.draw(st.integers(0, hit_tokens // tiling.block_tokens - 1))
    allocated = table(tiling, hit_tokens)[skip_blocks:]
    found = placed(tiling, hit_tokens, skip_blocks * tiling.block_tokens)
    filled = [block for placement in found for block in placement.block_ids]
    assert filled == [block for block in allocated if block]
    assert all(placement.block_ids for placement in found)


@given(st.integers(2, 50), st.integers(1, 8))
def test_a_window_fills_what_vllm_does_not_skip(window, chunks):
    hit = 8 * chunks
    found = placed(Tiling(8, 4, Window(window)), hit)
    filled = [block - 100 for placement in found for block in placement.block_ids]
    assert filled == list(range(max(0, hit - window + 1) // 4, hit // 4))


@given(tilings(), st.integers(1, 8))
def test_a_block_gets_the_tokens_of_its_place(tiling, chunks):
    """The same token of the request, counted from the piece's begin and from the table's."""
    for placement in placed(tiling, chunks * tiling.chunk_tokens):
        piece = tiling.piece(int(placement.key))
        place = placement.block_ids[0] - 100
        assert place * tiling.block_tokens == piece.start * tiling.block_tokens + (
            placement.first_token
        )
        assert placement.block_ids[-1] - 100 == piece.stop - 1


@given(tilings(), st.integers(0, 8))
def test_pieces_of_neighbours_do_not_overlap(tiling, chunk):
    mine, next_one = tiling.piece(chunk), tiling.piece(chunk + 1)
    assert len(mine) == tiling.piece_blocks == len(next_one)
    assert chunk * tiling.chunk_tokens <= mine.start * tiling.block_tokens
    assert mine.stop * tiling.block_tokens == (chunk + 1) * tiling.chunk_tokens
    assert tiling.blocks(chunk, range(1000)) == tuple(mine)


def test_nothing_is_needed_behind_what_is_there():
    for reach in (Everything(), Window(12), LocalChunks(16), State()):
        assert not Tiling(8, 8, reach).needed(24, 24)


def test_a_span_of_local_attention_that_ends_needs_nothing():
    tiling = Tiling(8, 4, LocalChunks(16))
    assert [list(tiling.needed(tokens)) for tokens in (8, 16, 24, 32)] == [[0], [], [2], []]


def test_only_full_attention_reads_all():
    reads = [Tiling(8, 4, r).reads_all for r in (Everything(), Window(9), LocalChunks(9), State())]
    assert reads == [True, False, False, False]
