from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.chunks.keys import base_key, piece_key
from kvtransfer.stores.ledgers.member import Member

hashes = st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}")
tenants = st.just("") | hashes


@given(st.text(st.characters(codec="utf-8")), hashes, st.integers(0, 3), tenants)
def test_a_name_is_read_back(model_name, chunk_hash, group, tenant):
    member = Member(base_key(model_name, 2, 1, piece_key(chunk_hash, group)), tenant)
    assert Member.read(str(member)) == member


@given(st.text())
def test_anything_else_is_none_or_reads_the_same(text):
    member = Member.read(text)
    assert member is None or Member.read(str(member)) == member
    assert Member.read("lease:0123") is None
    assert Member.read("a@b@c@d") is None
