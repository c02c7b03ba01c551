"""Blended requests among others, in any order: nothing approximate is saved, no block mixed up."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from kvtransfer.passages.recompute import First
from kvtransfer.requests.blending.wish import Wish
from tests.requests.engine import BLOCK, Engine
from tests.requests.test_any_order import AnyOrder, Keys, Pool

PASSAGES = [
    [number * 1000 + i for i in range(tokens)] for number, tokens in enumerate((72, 80, 90))
]
MOST_BLOCKS = 80


class Wishes:
    """Blends the requests whose names end with ``b``."""

    are_possible = True

    def of(self, state):
        return Wish(First(3)) if state.request_id.endswith("b") else None


class AnyOrderBlended(AnyOrder):
    """Prompts consist of a few passages in any order; some requests may be blended."""

    def __init__(self):
        super().__init__()
        self.engine = Engine(slots=40, request_keys=Keys, wishes=Wishes(), gap_tokens_a_step=20)
        self.known = self.engine.request_keys
        self.pool = Pool(5 * MOST_BLOCKS)
        self.exact = {}
        """How many tokens of each blended request are as the model computes them."""
        self.loaded = {}
        """How many tokens each request loads."""

    arrive = arrive_and_end = None  # all prompts consist of passages

    @rule(
        order=st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=3),
        own=st.integers(0, 20),
        blend=st.booleans(),
        stored=st.booleans(),
    )
    def arrive_with_passages(self, order, own, blend, stored):
        self.count += 1
        tokens = [7000 + self.count] * own + [t for i in order for t in PASSAGES[i]]
        tokens.append(6000 + self.count)
        name = f"r{self.count}{'b' if blend else ''}"
        self.waiting[name] = self.engine.request(name, tokens)
        if stored:
            self.engine.store(tokens)
        if len(self.pool.free) >= MOST_BLOCKS:
            self.begin(name)

    @precondition(lambda self: self.jobs)
    @rule()
    def report_all(self):
        for _ in range(len(self.jobs)):
            self.end_job(0, fails=False)
        self.worker(self.engine.step())

    @precondition(lambda self: self.waiting and len(self.pool.free) >= MOST_BLOCKS)
    @rule(data=st.data())
    def schedule(self, data):
        self.begin(data.draw(st.sampled_from(sorted(self.waiting))))

    def match(self, name, request):
        spans = self.engine.side.match(request, 0)
        if spans is None:
            return None
        external = self.loaded[name] = sum(span.tokens for span in spans)
        is_exact = all(span.is_exact for span in spans)
        assert external < len(request.all_token_ids) or is_exact
        if not is_exact:
            self.exact[name] = sum(span.tokens for span in spans if span.is_exact)
        return external

    def run(self, request, ids, computed):
        self.running[request.request_id] = request
        tokens = request.all_token_ids
        plan = self.engine.step(new=[(request, ids, computed, len(tokens) - computed)])
        # What is computed behind approximate tokens is approximate itself; all else is exact.
        exact = self.exact.get(request.request_id, len(tokens))
        exact = len(tokens) if computed <= exact else exact

        def compute():
            self.pool.write(ids[: -(-exact // BLOCK)], tokens)
            self.pool.spoil(ids[exact // BLOCK :] if exact < len(tokens) else ())

        self.worker(plan, compute)

    def worker(self, plan, compute=lambda: None):
        super().worker(plan, compute)
        self.jobs += [("computed", job) for job in plan.gap_jobs]
        for load in plan.jobs.loads:
            for move in load.moves:
                self.pool.spoil(move.block_ids)

    def loaded_tokens(self, name, ids):
        return self.loaded[name]

    def give_back(self, name):
        self.exact.pop(name, None)
        super().give_back(name)


def test_in_any_order():
    case = AnyOrderBlended.TestCase
    case.settings = settings(
        max_examples=60,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    case().runTest()
