"""A stand-in for an engine and its workers, for the store, and for what only an engine can tell."""

from __future__ import annotations

from types import SimpleNamespace

from kvtransfer.chunks.groups import Groups
from kvtransfer.chunks.keys import KeyChain, namespace
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.metrics import Metrics
from kvtransfer.plan import Report
from kvtransfer.requests.basis import Basis, Duties
from kvtransfer.requests.keys.agreed_weights import AgreedWeights
from kvtransfer.requests.keys.weights import Holding, weights_name
from kvtransfer.requests.loading.awaited import nothing_prefilled
from kvtransfer.requests.loading.store_answers import NoStore
from kvtransfer.requests.scheduler import Scheduler
from kvtransfer.requests.step import GivenBlocks, StepInput
from kvtransfer.requests.timing import Timing
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.lookup.located import Located
from kvtransfer.scheduling.planner import Planner

CHUNK, BLOCK = 8, 4
ONE_GROUP = Groups((Tiling(CHUNK, BLOCK),))
WEIGHTS = "those at start"
TOKENS = list(range(100, 121))
"""Two chunks and a rest."""
LONG = list(range(200, 250))


class Lookup:
    """Knows what is stored, and where, and answers when it is told to."""

    tiers = ("remote",)

    def __init__(self):
        self.stored = {}
        """Tier by key."""
        self.questions = {}
        self.answers = True
        self.found = {}
        self.answer_s = []
        self.waits_s = 0.0
        self.takes_s = 0.0

    def ask(self, request_id, keys):
        self.questions[request_id] = list(keys)
        self.found |= self._located(request_id).samples()

    def take_answer_seconds(self):
        taken, self.answer_s = self.answer_s, []
        return taken

    def waited_s(self, request_id):
        return self.waits_s

    def took_s(self, request_id):
        return self.takes_s

    def ask_when_known(self, request_id, keys):
        keys.add_done_callback(lambda known: self.ask(request_id, known.result()))

    def asked(self, request_id):
        return request_id in self.questions

    def answer(self, request_id):
        return self._located(request_id) if self.answers else None

    @property
    def is_waiting(self):
        return bool(self.questions) and not self.answers

    def forget(self, request_id):
        self.questions.pop(request_id, None)

    def take_late(self):
        return 0

    def close(self):
        pass

    def _located(self, request_id):
        return Located(self.stored).only(self.questions[request_id])


class RequestKeys:
    """Keys that cover the weights and the tokens, known as soon as the weights are."""

    def __init__(self, weights):
        self.weights = weights
        self.unnamed = {}

    def chain(self, request, weights):
        space, tenant = namespace({"weights": weights}), getattr(request, "tenant", "")
        return None if weights is None else KeyChain(CHUNK, namespace=space, tenant=tenant)

    @property
    def is_waiting(self):
        return bool(self.unnamed)

    def begin(self, state):
        state.is_named = False
        self.unnamed[state.request_id] = state

    def take(self, request_id=None):
        by_rank = self.weights.by_rank
        if by_rank is None:
            return
        for name in list(self.unnamed) if request_id is None else [request_id]:
            if name in self.unnamed:
                state = self.unnamed.pop(name)
                state.name(self.chain(state.request, weights_name(by_rank)), by_rank)
                yield state

    def take_continued(self):
        return iter(())

    def take_ambiguous(self, states):
        return iter(())

    def may_mix(self, state):
        return False

    def forget(self, request_id):
        self.unnamed.pop(request_id, None)

    def close(self):
        pass


class Engine:
    """Its scheduler, as far as a connector sees one."""

    def __init__(
        self,
        slots=8,
        loads=True,
        saves=True,
        saves_decode=True,
        keep=True,
        request_keys=RequestKeys,
        groups=ONE_GROUP,
        wishes=None,
        controls=None,
        gap_tokens_a_step=2048,
        trace=None,
        router_events=None,
        prefilled=nothing_prefilled,
        tenants=None,
        tracer=None,
    ):
        self.now_s = 0.0
        index = Index(slots, change_limit=4 * slots if router_events else 0, tenants=tenants)
        self.planner = Planner(index, ranks=1, keep=keep, put=True, clock=self.clock)
        self.lookup = Lookup()
        duties = Duties(loads, saves, saves_decode)
        metrics = Metrics()
        self.timing = Timing(1.0, metrics, self.clock)
        store = self.lookup if loads else NoStore()
        basis = Basis(
            self.planner, store, self.timing, groups, duties, metrics, gap_tokens_a_step, trace
        )
        weights = AgreedWeights(1)
        self.request_keys = request_keys(weights)
        self.pinned = {}
        """The blocks that are kept for each save, by job."""
        pins = SimpleNamespace(
            pin=self.pinned.__setitem__, unpin=lambda job: self.pinned.pop(job, 0)
        )
        told = router_events(self.clock) if router_events else None
        self.side = Scheduler(
            basis,
            self.request_keys,
            weights,
            pins,
            wishes,
            None,
            controls,
            told,
            prefilled,
            tracer,
        )
        self.next_block = 1
        self.weights = WEIGHTS
        """What the worker holds; it is told with the next step."""
        self.step()

    def clock(self):
        return self.now_s

    def request(self, name, tokens, **more):
        request = SimpleNamespace(
            request_id=name,
            all_token_ids=list(tokens),
            num_prompt_tokens=len(tokens),
            resumable=False,
            **more,
        )
        self.side.track(request)
        return request

    def match(self, request, local):
        """How many tokens behind ``local`` a load could bring; None: ask again."""
        spans = self.side.match(request, local)
        if not spans:
            return None if spans is None else 0
        (span,) = spans
        assert span.is_exact
        assert span.first_token == local
        return span.tokens

    def admit(self, request, ids, external):
        self.side.admit(request, (ids,), external)

    def blocks(self, tokens):
        count = -(-tokens // BLOCK)
        self.next_block += count
        return list(range(self.next_block - count, self.next_block))

    def step(self, new=(), cached=(), resumed=()):
        """``new``: (request, block ids, computed, scheduled); ``cached`` the same with new ids."""
        expected = self.side.expect_weights()
        scheduled = (*new, *cached)
        plan = self.side.plan(
            StepInput(
                request_ids=[r.request_id for r, *_ in scheduled],
                computed_tokens=[computed for _, _, computed, _ in scheduled],
                scheduled_tokens={r.request_id: n for r, _, _, n in scheduled},
                begun=[GivenBlocks(r.request_id, (ids,)) for r, ids, *_ in new],
                resumed={r.request_id for r in resumed},
                added=[GivenBlocks(r.request_id, (ids,)) for r, ids, *_ in cached if ids],
            )
        )
        self.tell_weights(expected)
        return plan

    def tell_weights(self, expected):
        """The worker tells what it holds, if the step expected something else."""
        if not expected.fits(0, self.weights):
            self.side.take_weights({0: Holding(self.weights, expected.plan)})

    def prefill(self, name, tokens, local=0):
        """A request that is computed in one step; returns it, its blocks and the plan."""
        request = self.request(name, tokens)
        ids = self.blocks(len(tokens))
        assert self.match(request, local) == 0
        self.admit(request, ids, 0)
        return request, ids, self.step(new=[(request, ids, local, len(tokens) - local)])

    def hold(self, tokens):
        """Have the chunks of ``tokens`` in host memory, idle."""
        request, _, plan = self.prefill("hold", tokens)
        while plan.jobs.saves:
            self.side.take(copied(plan.jobs.saves))
            plan = self.step(cached=[(request, [], len(tokens), 1)])
        self.side.finish(request, owns_blocks=True)

    def compute(self, tokens, seconds):
        """A step takes ``seconds``."""
        number = self.timing.steps.begin([tokens], [0])
        self.now_s += seconds
        self.timing.steps.end(number)

    def bring(self, *, seconds, **tokens):
        """A load of ``tokens``, by tier, takes ``seconds``."""
        load_timer = self.timing.begin_load(tokens, 0)
        self.now_s += seconds
        self.timing.end_load(load_timer)

    def store(self, tokens, tier="remote", tenant=""):
        self.lookup.stored |= dict.fromkeys(keys(tokens, tenant=tenant), tier)


def keys(tokens, weights=WEIGHTS, tenant=""):
    space = namespace({"weights": weights_name((weights,))})
    return KeyChain(CHUNK, namespace=space, tenant=tenant).extend(tokens)


def copied(saves):
    """Copied out, and put."""
    jobs = {save.job: 1 for save in saves}
    return Report(copied=jobs, stored=dict(jobs))


def ended(jobs, failed=()):
    return Report(loaded={job.job: 1 for job in jobs}, failed={job.job for job in failed})


def saved(*plans):
    return [save.key for plan in plans for save in plan.jobs.saves]


def load_long(engine, local=0):
    """A request of six chunks that are stored begins to load; returns it and its blocks."""
    engine.store(LONG)
    request = engine.request("r", LONG)
    assert engine.match(request, local) == 48 - local
    ids = engine.blocks(48)
    engine.admit(request, ids, 48 - local)
    return request, ids
