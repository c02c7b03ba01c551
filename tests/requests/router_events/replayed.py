"""What a router would believe, from the router events that it was sent."""

from __future__ import annotations

from collections import Counter

from kvtransfer.requests.router_events.event import ChunkBlocks, Stored


class Believed:
    """The blocks that are at each place; every removal has to be of what was stored there."""

    def __init__(self):
        self.blocks = Counter()

    def hear(self, events):
        for event in events:
            is_new = isinstance(event, Stored)
            for block in event.blocks.hashes if is_new else event.hashes:
                self.blocks[event.place, block] += 1 if is_new else -1
                assert self.blocks[event.place, block] in (0, 1)
        return self

    def at(self, place):
        return {block for (where, block), count in self.blocks.items() if count and where == place}


def blocks(*hashes):
    return ChunkBlocks(tuple(hashes), None, [1] * 4 * len(hashes))
