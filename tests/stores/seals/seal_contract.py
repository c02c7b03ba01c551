"""What every store must refuse, whatever seals its entries: checksum, keyed hash, encryption."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.metrics import Metrics
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.seals.in_use import Seals
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD

SETTINGS = {
    "checksum": None,
    "integrity": "integrity_key_file",
    "encryption": "encryption_key_file",
}
KEYED = ["integrity", "encryption"]
TENANT, OTHER_TENANT = "a" * 32, "b" * 32


class Vault:
    """Opens stores over one backing, each with the seals that a mode and names of keys say."""

    def __init__(self, backing, folder):
        self.backing = backing
        self._folder = folder

    @contextmanager
    def opened(self, mode, *keys, metrics=None):
        """A store; ``keys`` are names, equal ones for equal secrets."""
        settings = {SETTINGS[mode]: [self._file(key) for key in keys]} if SETTINGS[mode] else {}
        seals = Seals.open(TransferConfig.of(**settings), metrics or Metrics())
        with closing(self.backing.open(CHUNK, StoreSettings(seals=seals))) as store:
            yield store

    def halves(self, key):
        return self.backing.payload(key), self.backing.fields(key)

    def copy(self, key, other):
        """Both halves, as COPY does in Redis."""
        payload, fields = self.halves(key)
        self.backing.set_payload(other, payload)
        self.backing.set_fields(other, fields)

    def change(self, key, **changes):
        """Replace fields of the record."""
        self.backing.set_fields(key, {**self.backing.fields(key), **changes})

    def _file(self, key):
        path = self._folder / key
        if not path.exists():
            path.touch(0o600)
            path.write_text(os.urandom(32).hex() + "\n")
        return str(path)


def read(store, key=KEY, tenant=TENANT):
    """The payload of ``key``; None for a miss."""
    target = bytearray(CHUNK.nbytes)
    return bytes(target) if store.get_into(key, memoryview(target), tenant) else None


def put(store, key=KEY, tenant=TENANT):
    assert store.put(key, memoryview(PAYLOAD), tenant)


def assert_refused(vault, store, key=KEY, tenant=TENANT):
    """A miss, of which nothing is left, and whose place another entry can take."""
    assert read(store, key, tenant) is None
    assert vault.halves(key) == (None, None)
    put(store, key, tenant)
    assert read(store, key, tenant) == PAYLOAD


def flipped(text):
    """Another text of the same form: its last digit or letter is changed."""
    return text[:-1] + ("1" if text[-1:] != "1" else "2")


class SealContract:
    """Subclass it where there is a fixture ``backing``, see :class:`kvtransfer.testing.Backing`."""

    @pytest.fixture(params=SETTINGS)
    def mode(self, request):
        return request.param

    def test_what_was_put_is_read_by_another_with_the_same_key(self, vault, mode):
        with vault.opened(mode, "key") as store:
            for tenant in ("", TENANT):
                put(store, tenant=tenant)
                assert read(store, tenant=tenant) == PAYLOAD
                with vault.opened(mode, "key") as other:
                    assert read(other, tenant=tenant) == PAYLOAD
                vault.backing.set_fields(KEY, None)

    def test_both_halves_copied_to_another_key_are_a_miss(self, vault, mode):
        with vault.opened(mode, "key") as store:
            put(store)
            vault.copy(KEY, OTHER_KEY)
            assert_refused(vault, store, OTHER_KEY)
            assert read(store) == PAYLOAD

    def test_a_copy_with_the_name_of_its_new_key_is_a_miss(self, vault, mode):
        with vault.opened(mode, "key") as store:
            put(store)
            vault.copy(KEY, OTHER_KEY)
            vault.change(OTHER_KEY, chunk_hash=OTHER_KEY.rpartition("@")[2])
            assert_refused(vault, store, OTHER_KEY)

    def test_any_field_that_was_changed_is_a_miss(self, vault, mode):
        with vault.opened(mode, "key") as store:
            put(store)
            for name in sorted(vault.backing.fields(KEY)):
                vault.change(KEY, **{name: flipped(vault.backing.fields(KEY)[name])})
                assert_refused(vault, store)

    def test_any_bit_of_the_payload_that_was_flipped_is_a_miss(self, vault, mode):
        with vault.opened(mode, "key") as store:
            put(store)
            for at in (0, 1000, CHUNK.nbytes - 1):
                payload = bytearray(vault.backing.payload(KEY))
                payload[at] ^= 1 << at % 8
                vault.backing.set_payload(KEY, bytes(payload))
                assert_refused(vault, store)

    def test_a_payload_of_another_put_is_a_miss(self, vault, mode):
        """As a writer that is half way in a cluster leaves it, or someone who mixes halves."""
        with vault.opened(mode, "key") as store:
            store.put(OTHER_KEY, memoryview(PAYLOAD[::-1]), TENANT)
            put(store)
            vault.backing.set_payload(KEY, vault.backing.payload(OTHER_KEY))
            assert_refused(vault, store)

    def test_a_record_without_a_tag_or_nonce_is_a_miss(self, vault, mode):
        with vault.opened(mode, "key") as store:
            put(store)
            for changes in ({"tag": ""}, {"nonce": ""}, {"nonce": "00" * 200}, {"tag": "00" * 8}):
                if changes.items() <= vault.backing.fields(KEY).items():
                    continue
                vault.change(KEY, **changes)
                assert_refused(vault, store)

    def test_an_entry_of_the_first_format_is_a_miss(self, vault, mode):
        with vault.opened(mode, "key") as store:
            put(store)
            fields = vault.backing.fields(KEY)
            for name in ("chunk_hash", "seal", "nonce", "tag"):
                del fields[name]
            vault.backing.set_payload(KEY, PAYLOAD)
            vault.backing.set_fields(KEY, {**fields, "xxh3": "0" * 16})
            assert_refused(vault, store)

    @pytest.mark.parametrize("writer", SETTINGS)
    def test_another_seal_is_refused_and_counted(self, vault, mode, writer):
        """Another kind, or another key; a put takes its place too."""
        metrics = Metrics()
        with vault.opened(writer, "theirs") as theirs, vault.opened(mode, "ours") as plain:
            if writer == mode == "checksum":
                return  # there is one checksum, of no key
            put(theirs)
            put(plain)
            assert read(plain) == PAYLOAD
            with vault.opened(writer, "theirs", metrics=metrics) as counting:
                assert_refused(vault, counting)
        assert metrics.take() == {"unverified_chunks": 1}

    @pytest.mark.parametrize("keyed", KEYED)
    def test_a_key_is_rotated_by_naming_two(self, vault, keyed):
        with vault.opened(keyed, "old") as before, vault.opened(keyed, "new") as after:
            put(before)
            with vault.opened(keyed, "new", "old") as during:
                assert read(during) == PAYLOAD
                put(during)  # what can be opened is kept
                assert read(before) == PAYLOAD
                put(during, OTHER_KEY)
            assert read(after, OTHER_KEY) == PAYLOAD
            assert_refused(vault, after)

    def test_the_entry_of_one_tenant_is_a_miss_for_another(self, vault):
        with vault.opened("encryption", "key") as store:
            put(store)
            vault.copy(KEY, OTHER_KEY)
            assert_refused(vault, store, OTHER_KEY, OTHER_TENANT)
            assert_refused(vault, store, tenant=OTHER_TENANT)

    def test_nothing_of_an_encrypted_payload_can_be_read(self, vault):
        stored = set()
        with vault.opened("encryption", "key") as store:
            for tenant in (TENANT, OTHER_TENANT, TENANT):
                put(store, tenant=tenant)
                stored.add(vault.backing.payload(KEY))
                vault.backing.set_fields(KEY, None)
        assert len(stored) == 3  # equal bytes look different each time
        windows = {PAYLOAD[i : i + 8] for i in range(len(PAYLOAD) - 8)}
        for payload in stored:
            assert not windows & {payload[i : i + 8] for i in range(len(payload) - 8)}
