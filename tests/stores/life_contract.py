"""What holds of a store whose entries have lives of their own: subclass it in a test of one."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.stores import StoreSettings
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, get

SETTINGS = StoreSettings(ttl_s=100)


class LifeContract:
    """``backing`` is a fixture as for ``StoreContract``."""

    @pytest.fixture
    def living(self, backing):
        with closing(backing.open(CHUNK, SETTINGS)) as store:
            yield store

    def test_it_is_served_until_its_life_ends(self, backing, living):
        assert living.put(KEY, memoryview(PAYLOAD), "", 40)
        backing.elapse(20)
        assert get(living, KEY) == PAYLOAD
        backing.elapse(30)
        assert get(living, KEY) is None

    def test_the_settings_bound_it(self, backing, living):
        assert living.put(KEY, memoryview(PAYLOAD), "", 10_000)
        backing.elapse(120)
        assert get(living, KEY) is None

    def test_what_is_there_lives_on_as_it_does(self, backing, living):
        assert living.put(KEY, memoryview(PAYLOAD))
        assert living.put(KEY, memoryview(PAYLOAD), "", 20)
        backing.elapse(50)
        assert living.put(KEY, memoryview(PAYLOAD), "", 90)
        assert get(living, KEY) == PAYLOAD
        backing.elapse(60)
        assert get(living, KEY) is None

    def test_a_put_without_it_gives_the_life_of_the_settings(self, backing, living):
        assert living.put(KEY, memoryview(PAYLOAD), "", 40)
        assert living.put(KEY, memoryview(PAYLOAD))
        backing.elapse(80)
        assert get(living, KEY) == PAYLOAD
