"""The stand-in engine with several cache groups, whose block tables are kept as vLLM keeps them."""

from __future__ import annotations

from kvtransfer.chunks.groups import Groups
from kvtransfer.chunks.keys import group_of, piece_key
from kvtransfer.chunks.reach import State, Window
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.plan import Report
from kvtransfer.requests.step import GivenBlocks, StepInput
from tests.requests.engine import BLOCK, CHUNK, Engine, copied, keys

FULL = Tiling(CHUNK, BLOCK)
STATE = Tiling(CHUNK, CHUNK, State())
NULL = 0


def window(tokens):
    return Tiling(CHUNK, BLOCK, Window(tokens))


class GroupEngine(Engine):
    """Each request has a table of blocks in each group; blocks that were freed last are given first."""

    def __init__(self, *tilings, **options):
        self.tilings = tilings
        self.tables = {}
        self.computed = {}
        self.freed = []
        super().__init__(**{"slots": 32, "groups": Groups(tilings), **options})

    def come(self, name, tokens):
        """A request without a hit, which has no blocks yet."""
        request = self.request(name, tokens)
        assert self.match(request, 0) == 0
        self.begin(request)
        return request

    def begin(self, request, local=0):
        """The engine admits the request, which computes what lies behind ``local``."""
        self.tables[request.request_id] = self.empty(local)
        self.computed[request.request_id] = local
        self.side.admit(request, self.table(request.request_id), 0)

    def empty(self, local):
        return [list(range(900, 900 + local // tiling.block_tokens)) for tiling in self.tilings]

    def run(self, *scheduled, drafts=0):
        """A step; ``scheduled`` are pairs of a request and how many tokens it computes."""
        before = {request.request_id: self.computed[request.request_id] for request, _ in scheduled}
        added = []
        for request, tokens in scheduled:
            name = request.request_id
            given = self.grow(name, before[name] + tokens + drafts)
            if any(given):
                added.append(GivenBlocks(name, given))
            self.computed[name] += tokens
        return self.plan(
            StepInput(
                request_ids=[*before],
                computed_tokens=[*before.values()],
                scheduled_tokens={r.request_id: tokens + drafts for r, tokens in scheduled},
                added=added,
                tables=self.table,
            )
        )

    def plan(self, step):
        expected = self.side.expect_weights()
        plan = self.side.plan(step)
        self.tell_weights(expected)
        return plan

    def grow(self, name, end):
        """As vLLM does before a step: take back what is read no more, then give what is missing."""
        for tiling, blocks in zip(self.tilings, self.tables[name], strict=True):
            first = tiling.reach.first_token(self.computed[name]) // tiling.block_tokens
            self.freed += [block for block in blocks[:first] if block != NULL]
            blocks[:first] = [NULL] * len(blocks[:first])
        return tuple(
            self._give(tiling, blocks, -(-end // tiling.block_tokens))
            for tiling, blocks in zip(self.tilings, self.tables[name], strict=True)
        )

    def _give(self, tiling, blocks, count):
        missing = max(0, count - len(blocks))
        given = [self.new_block() for _ in range(missing)]
        if isinstance(tiling.reach, State):  # one block a step is written
            self.freed += given[:-1]
            given[:-1] = [NULL] * len(given[:-1])
        blocks += given
        return given

    def new_block(self):
        return self.freed.pop() if self.freed else self.blocks(1)[0]

    def table(self, name):
        return tuple(map(tuple, self.tables[name]))

    def load(self, request, hit, local=0):
        """The engine admits the request for a load up to ``hit``; returns its tables."""
        tables = self.empty(local)
        for tiling, blocks in zip(self.tilings, tables, strict=True):
            first = tiling.reach.first_token(hit) // tiling.block_tokens
            blocks[:first] = [NULL] * len(blocks[:first])
            for place in range(len(blocks), hit // tiling.block_tokens):
                blocks.append(NULL if place < first else self.new_block())
        self.tables[request.request_id] = tables
        self.computed[request.request_id] = hit
        self.side.admit(request, self.table(request.request_id), hit - local)
        return tables

    def keep(self, *plans):
        """The saves of ``plans`` are copied and put."""
        for plan in plans:
            self.side.take(copied(plan.jobs.saves))

    def store_pieces(self, tokens, tier="remote"):
        """The store holds every piece of ``tokens``."""
        self.lookup.stored |= dict.fromkeys(self.pieces(tokens), tier)

    def pieces(self, tokens):
        return [piece_key(key, group) for group in range(len(self.tilings)) for key in keys(tokens)]

    def tell_failed(self, plan):
        """The workers report what the step said has failed."""
        return self.side.take(Report(), failed_requests=plan.failed_requests)


def filled(plan, group):
    """The blocks that the loads of ``plan`` fill in a group."""
    loads = [load for load in plan.jobs.loads if group_of(load.key) == group]
    return [block for load in loads for block in load.block_ids]
