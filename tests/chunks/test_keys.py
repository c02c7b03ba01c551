import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.chunks.keys import (
    KEY_HEX_DIGITS,
    BaseKey,
    EntryKeys,
    KeyChain,
    base_key,
    chunk_keys,
    group_of,
    namespace,
    parse_base_key,
    piece_key,
    tenant_of,
    tenant_of_salt,
)
from kvtransfer.errors import ConfigError

ids = st.lists(st.integers(0, 2**31 - 1), max_size=40)
sizes = st.integers(1, 9)
SPACE = namespace({"model": "m", "layers": 3})


@given(ids, sizes)
def test_one_key_for_each_whole_chunk(token_ids, chunk_tokens):
    keys = chunk_keys(token_ids, chunk_tokens, namespace=SPACE)
    assert len(keys) == len(token_ids) // chunk_tokens
    assert all(len(key) == KEY_HEX_DIGITS and int(key, 16) >= 0 for key in keys)
    assert len(set(keys)) == len(keys)


@given(ids, ids, sizes)
def test_a_prefix_has_the_same_keys_and_a_changed_token_changes_all_from_there(a, b, chunk_tokens):
    both = chunk_keys(a + b, chunk_tokens, namespace=SPACE)
    assert both[: len(a) // chunk_tokens] == chunk_keys(a, chunk_tokens, namespace=SPACE)
    if a:
        changed = [a[0] ^ 1, *a[1:], *b]
        assert not set(both) & set(chunk_keys(changed, chunk_tokens, namespace=SPACE))


@given(ids, ids, sizes, st.lists(st.binary(max_size=3), max_size=5))
def test_a_growing_sequence_has_the_keys_of_the_whole(a, b, chunk_tokens, extras):
    chain = KeyChain(chunk_tokens, namespace=SPACE, extras=extras)
    chain.extend(a)
    whole = chunk_keys(a + b, chunk_tokens, namespace=SPACE, extras=extras)
    assert list(chain.extend(a + b)) == whole


@given(
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.none(), st.integers(), st.text()), min_size=1
    ),
    st.data(),
)
def test_every_fact_counts_and_their_order_does_not(facts, data):
    key = chunk_keys([1, 2], 2, namespace=namespace(facts))
    assert key == chunk_keys([1, 2], 2, namespace=namespace(dict(reversed(facts.items()))))
    name = data.draw(st.sampled_from(sorted(facts)))
    changed = {**facts, name: [facts[name]]}
    assert key != chunk_keys([1, 2], 2, namespace=namespace(changed))


@pytest.mark.parametrize(
    "fact",
    [object(), float("nan"), {1: {2, 3}}, b"bytes", {"a": 1, 2: 3}],
    ids=["object", "nan", "set", "bytes", "mixed names"],
)
def test_facts_that_json_can_not_hold_are_refused_by_name(fact):
    with pytest.raises(ConfigError, match=r"^facts\['theta'\]=.*: not plain JSON; write texts"):
        namespace({"dtype": "float16", "theta": fact})


def test_extras_count_from_their_chunk_on():
    plain = chunk_keys(range(6), 2, namespace=SPACE)
    image = chunk_keys(range(6), 2, namespace=SPACE, extras=[b"", b"image"])
    assert plain[0] == image[0]
    assert not set(plain[1:]) & set(image[1:])


@pytest.mark.parametrize("wrong", [-1, 2**31, 2**40])
def test_an_id_that_is_no_token_is_refused(wrong):
    with pytest.raises(ValueError, match=str(wrong)):
        chunk_keys([0, wrong], 2, namespace=SPACE)


def test_keys_are_equal_in_every_process_whatever_its_hash_seed():
    code = (
        "import json\nfrom kvtransfer.chunks.keys import chunk_keys, namespace\n"
        "space = namespace({'b': [1, 2.5, None], 'a': {'z': 'ü', 'y': True}})\n"
        "print(json.dumps(chunk_keys(range(512), 256, namespace=space, extras=[b'x'])))"
    )
    found = set()
    for seed in ("0", "1", "random"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
        )
        found.add(done.stdout)
    (only,) = found
    # Written down: a new value here means that every cache out there is cold.
    assert json.loads(only) == [
        "db38de076ab92181d50f329ca2fe47e6",
        "69ac93ff1b7e6c79a9421d5cc34a893c",
    ]


@given(st.text(min_size=1), st.integers(0, 99), st.integers(0, 99))
def test_a_base_key_is_read_back(model_name, world_size, worker_id):
    key = base_key(model_name, world_size, worker_id, "0" * 32)
    assert parse_base_key(key) == BaseKey(model_name, world_size, worker_id, "0" * 32)
    assert key.isascii()
    assert key.count("@") == 3
    assert not set("{} \n") & set(key)


def test_a_plain_name_is_left_as_it_is():
    assert base_key("org/Model-1.5_b", 2, 1, "ab") == "org/Model-1.5_b@2@1@ab"
    assert EntryKeys("m", 2).shards("ab") == ["m@2@0@ab", "m@2@1@ab"]


def test_a_piece_may_have_some_shards_only():
    key = "0" * 32
    names = EntryKeys("m", 3, holders=((0, 1, 2), (1,)))
    assert names.shards(key) == [f"m@3@{shard}@{key}" for shard in range(3)]
    assert names.shards(piece_key(f"{key}.tenant", 1)) == [f"m@3@1@{key}-1"]


def test_a_tenants_keys_say_whose_they_are_and_stores_do_not_learn_it():
    tenant = tenant_of_salt("salt")
    plain = KeyChain(2, namespace=SPACE).extend(range(6))
    keys = KeyChain(2, namespace=SPACE, tenant=tenant).extend(range(6))
    assert [tenant_of(key) for key in (*plain, *keys)] == [""] * 3 + [tenant] * 3
    names = EntryKeys("m", 2)
    assert [names.shards(key) for key in keys] == [names.shards(key) for key in plain]
    assert parse_base_key(names.shard(1, keys[0])).chunk_hash == plain[0]


def test_a_tenant_is_told_by_a_digest_of_its_salt():
    assert tenant_of_salt(None) == tenant_of_salt("") == ""
    tenants = {tenant_of_salt(salt) for salt in ("salt", "Salt", "sält", "a.b")}
    assert len(tenants) == 4
    assert all(len(tenant) == 32 and tenant.isalnum() for tenant in tenants)


@given(st.integers(0, 40), st.integers(0, 36))
def test_a_chain_advanced_in_pieces_is_the_same(tokens, most_tokens):
    chain, ids = KeyChain(4, namespace=b"n"), list(range(tokens))
    pieces = 1
    while (keys := chain.advance(ids, most_tokens)) is None:
        pieces += 1
    assert keys == chunk_keys(ids, 4, namespace=b"n")
    assert pieces == max(1, -(-(tokens // 4) // max(1, most_tokens // 4)))


@given(st.integers(0, 120), st.sampled_from(["", "salt"]))
def test_a_piece_names_its_group_in_a_process_and_in_a_store(group, salt):
    tenant = tenant_of_salt(salt)
    (key,) = KeyChain(2, namespace=SPACE, tenant=tenant).extend([1, 2])
    piece = piece_key(key, group)
    assert (group_of(piece), tenant_of(piece)) == (group, tenant)
    for name in EntryKeys("org/a-1@b.c", 2).shards(piece):
        assert group_of(name) == group
        assert parse_base_key(name).chunk_hash == piece.partition(".")[0]


def test_the_piece_of_the_first_group_has_the_chunks_key():
    tenant = tenant_of_salt("salt")
    (key,) = KeyChain(2, namespace=SPACE, tenant=tenant).extend([1, 2])
    assert piece_key(key, 0) == key
    assert piece_key(key, 3) == f"{key[:32]}-3.{tenant}"
    assert len({piece_key(key, group) for group in range(20)}) == 20
