"""What every feed does; ``open_feed`` is a fixture that opens another end of the same feed."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from kvtransfer.stores.feeds.interface import MOST_PAYLOAD_BYTES

TOPIC, OTHER_TOPIC = "ab" * 32, "cd" * 32
PLENTY = 64 << 20


class FeedContract:
    @pytest.fixture
    def ends(self, open_feed):
        with closing(open_feed()) as writer, closing(open_feed()) as other:
            yield writer, other

    def test_an_unused_topic_is_empty(self, ends):
        reader = ends[0].reader(TOPIC)
        assert reader.read(PLENTY) == []
        assert reader.read(PLENTY) == []

    def test_each_reader_gets_what_there_is_and_what_follows_in_order(self, ends):
        writer, other = ends
        early, late = other.reader(TOPIC), writer.reader(TOPIC)
        assert early.read(PLENTY) == []
        for payload in (b"1", b"2", b"3"):
            writer.append(TOPIC, payload)
        assert early.read(PLENTY) == [b"1", b"2", b"3"]
        other.append(TOPIC, b"4")
        assert early.read(PLENTY) == [b"4"]
        assert late.read(PLENTY) == [b"1", b"2", b"3", b"4"]
        assert early.read(PLENTY) == late.read(PLENTY) == []

    def test_topics_are_apart(self, ends):
        ends[0].append(TOPIC, b"1")
        assert ends[1].reader(OTHER_TOPIC).read(PLENTY) == []

    def test_the_first_reading_returns_the_newest(self, ends):
        payloads = [bytes([at]) * 1000 for at in range(100)]
        for payload in payloads:
            ends[0].append(TOPIC, payload)
        reader = ends[1].reader(TOPIC)
        newest = reader.read(10_900)
        assert newest == payloads[-10:]
        assert reader.read(PLENTY) == []

    def test_a_later_reading_leaves_the_rest_to_the_next(self, ends):
        payloads = [bytes([at]) * 1000 for at in range(100)]
        reader = ends[1].reader(TOPIC)
        assert reader.read(PLENTY) == []
        for payload in payloads:
            ends[0].append(TOPIC, payload)
        some = reader.read(10_900)
        assert some == payloads[:10]
        assert some + reader.read(PLENTY) == payloads

    def test_one_payload_is_always_returned(self, ends):
        ends[0].append(TOPIC, b"0" * 100)
        reader = ends[1].reader(TOPIC)
        assert reader.read(1) == [b"0" * 100]
        ends[0].append(TOPIC, b"1" * 100)
        assert reader.read(1) == [b"1" * 100]

    def test_long_payloads_come_whole(self, ends):
        payloads = [os.urandom(MOST_PAYLOAD_BYTES - at) for at in range(4)]
        for payload in payloads:
            ends[0].append(TOPIC, payload)
        assert ends[1].reader(TOPIC).read(PLENTY) == payloads

    def test_a_longer_payload_is_refused(self, ends):
        with pytest.raises(ValueError, match="a feed takes"):
            ends[0].append(TOPIC, bytes(MOST_PAYLOAD_BYTES + 1))
