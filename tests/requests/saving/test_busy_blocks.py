from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.requests.saving.busy_blocks import BusyBlocks

BLOCKS = st.lists(st.integers(0, 7), max_size=4, unique=True)


@given(st.lists(st.tuples(BLOCKS, st.integers(0, 5)), max_size=12), BLOCKS)
def test_a_block_is_busy_while_any_copy_of_it_is(copies, asked):
    busy, under_way = BusyBlocks(), {}
    for job, (block_ids, ends) in enumerate(copies):
        busy.begin({job: tuple(block_ids)})
        under_way[job] = block_ids
        for ended in list(under_way)[:ends]:
            busy.end(ended)
            del under_way[ended]
        assert bool(busy) == bool(under_way)
        wanted = set().union(*under_way.values())
        busy.note_write(asked)
        assert busy.take_rewritten() == bool(wanted & set(asked))
        assert not busy.take_rewritten()
