from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvtransfer.chunks.tiling import Placement
from kvtransfer.plan import Report
from kvtransfer.scheduling.changes import Added, ChangeLog, Cleared, Removed
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.planner import Planner

RANKS, SLOTS = 2, 4
KEYS = "abcdefg"


def replay(there, changes):
    """Apply ``changes`` to the keys ``there``; each has to make sense."""
    for change in changes:
        match change:
            case Added(key):
                assert key not in there
                there.add(key)
            case Removed(key):
                there.remove(key)
            case Cleared():
                there.clear()


def test_a_chunk_that_was_never_there_is_not_mentioned():
    log = ChangeLog(9)
    log.remove("a")
    assert log.take() == []
    log.add("a")
    log.add("a")
    log.remove("a")
    assert log.take() == [Added("a"), Removed("a")]
    assert log.take() == []


def test_a_log_that_nobody_takes_stays_short_and_lists_all_anew():
    log = ChangeLog(3)
    for key in "abcd":
        log.add(key)
    log.remove("b")
    assert log._changes == []
    assert log.take() == [Cleared(), Added("a"), Added("c"), Added("d")]
    log.remove("a")
    assert log.take() == [Removed("a")]


def test_without_a_limit_nothing_is_logged():
    index = Index(2)
    index.publish([index.claim("a")])
    assert index.take_changes() == []


class ChangesAgainstAModel(RuleBasedStateMachine):
    """The model: the bytes that each slot really holds, written as every rank ends a job well."""

    limit, keep, margin = 0, True, 0

    def __init__(self):
        super().__init__()
        index = Index(SLOTS, "lru", change_limit=self.limit)
        self.plans = Planner(
            index, ranks=RANKS, keep=self.keep, put=True, margin=self.margin, clock=lambda: 0.0
        )
        self.jobs = []  # (kind, job) that workers are at, in the order in which they may end
        self.bytes = {}  # by slot
        self.there = set()

    @rule(keys=st.lists(st.sampled_from(KEYS), unique=True, max_size=3))
    def load(self, keys):
        self.jobs += [
            ("loaded", job) for job in self.plans.load([Placement(k, (1,)) for k in keys])
        ]
        self._note_plan()

    @rule(keys=st.lists(st.sampled_from(KEYS), unique=True, max_size=3))
    def save(self, keys):
        for job in self.plans.save_all([Placement(key, (1,)) for key in keys]):
            self.jobs += [("copied", job)] + [("stored", job)] * job.put
        self._note_plan()

    @rule()
    def put(self):
        self.jobs += [("stored", job) for job in self.plans.plan_puts()]

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), fails=st.booleans())
    def end(self, data, fails):
        kind, job = self.jobs.pop(data.draw(st.integers(0, len(self.jobs) - 1)))
        failed = {job.job} if fails and kind != "stored" else set()
        self.plans.settle(Report(**{kind: {job.job: 1}}, failed=failed))
        assert self._replayed() == self._expected()  # one rank alone changes nothing
        self.plans.settle(Report(**{kind: {job.job: 1}}))
        if failed:
            self.bytes.pop(job.slot, None)
        elif kind == "copied" or (kind == "loaded" and job.fetch):
            self.bytes[job.slot] = job.key

    @rule(slot=st.integers(0, SLOTS - 1))
    def forget(self, slot):
        self.plans.index.forget(slot)

    @rule()
    def clear(self):
        self.plans.index.clear()

    @rule()
    def take(self):
        assert self._replayed() == self._expected()

    @invariant()
    def is_bounded(self):
        assert len(self.plans.index._changes._changes) <= self.limit

    def teardown(self):
        assert self._replayed() == self._expected()

    def _note_plan(self):
        """A slot that a new job fills holds nothing until then."""
        for kind, job in self.jobs:
            if kind == "copied" or (kind == "loaded" and job.fetch):
                self.bytes.pop(job.slot, None)

    def _replayed(self):
        replay(self.there, self.plans.index.take_changes())
        return self.there

    def _expected(self):
        index = self.plans.index
        return {key for slot, key in self.bytes.items() if index.holds(slot, key)}


def _run(**attributes):
    case = type("Machine", (ChangesAgainstAModel,), attributes).TestCase
    case.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
    case().runTest()


def test_replaying_the_changes_gives_the_keys_whose_bytes_are_there():
    _run(limit=1000)


def test_replaying_a_log_that_overflows_gives_the_same():
    _run(limit=2, margin=1)


def test_a_buffer_for_the_store_publishes_nothing():
    _run(limit=1000, keep=False)
