"""The deciding side against stand-ins for vLLM's requests and steps: no engine, no store."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvtransfer.chunks.keys import KeyChain, chunk_keys, namespace
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.connector.vllm.keys.adapters import Adapters
from kvtransfer.connector.vllm.keys.media import Media
from kvtransfer.metrics import Metrics
from kvtransfer.plan import Plan, Report
from kvtransfer.requests.keys.agreed_weights import AgreedWeights
from kvtransfer.requests.keys.weights import UNKNOWABLE, Holding, weights_name
from kvtransfer.requests.scheduler import Duties, SchedulerSide
from kvtransfer.requests.timing import Pace
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.planner import Planner

CHUNK, BLOCK = 8, 4
WEIGHTS = "those at start"


class Lookup:
    """Knows what is stored, and answers when it is told to."""

    def __init__(self):
        self.stored = set()
        self.questions = {}
        self.answers = True
        self.found = None
        self.answer_s = []
        self.waits_s = 0.0

    def ask(self, request_id, keys):
        self.questions[request_id] = set(keys)
        self.found = next(iter(self.stored & set(keys)), self.found)

    def take_answer_seconds(self):
        taken, self.answer_s = self.answer_s, []
        return taken

    def waited_s(self, request_id):
        return self.waits_s

    def ask_when_known(self, request_id, keys):
        keys.add_done_callback(lambda known: self.ask(request_id, known.result()))

    def asked(self, request_id):
        return request_id in self.questions

    def answer(self, request_id):
        return self.questions[request_id] & self.stored if self.answers else None

    @property
    def is_waiting(self):
        return bool(self.questions) and not self.answers

    def forget(self, request_id):
        self.questions.pop(request_id, None)

    def take_late(self):
        return 0

    def close(self):
        pass


class KeySpace:
    def chain(self, request, weights, adapter, media):
        return KeyChain(CHUNK, namespace=namespace({"weights": weights}))


class Vllm:
    """A scheduler of vLLM's, as far as a connector sees one."""

    def __init__(
        self, slots=8, loads=True, saves=True, saves_decode=True, keep=True, key_space=None
    ):
        self.planner = Planner(Index(slots), ranks=1, keep=keep, put=True)
        self.lookup = Lookup()
        duties = Duties(loads, saves, saves_decode)
        lookup = self.lookup if loads else None
        metrics = Metrics()
        self.now_s = 0.0
        self.pace = Pace(1.0, metrics, lambda: self.now_s)
        adapters, media = Adapters(ranks=1), Media(trust_uuids=False, can_see=True)
        self.side = SchedulerSide(
            key_space or KeySpace(),
            AgreedWeights(1),
            adapters,
            media,
            self.planner,
            lookup,
            self.pace,
            Tiling(CHUNK, BLOCK),
            duties,
            metrics,
        )
        self.next_block = 1
        self.weights = WEIGHTS
        """What the worker holds; it is told with the next step."""
        self.step()

    def request(self, name, tokens, media=()):
        request = SimpleNamespace(
            request_id=name,
            all_token_ids=list(tokens),
            num_prompt_tokens=len(tokens),
            sampling_params=object(),
            prompt_embeds=None,
            skip_reading_prefix_cache=False,
            lora_request=None,
            mm_features=list(media),
            resumable=False,
        )
        self.side.track(request)
        return request

    def blocks(self, tokens):
        count = -(-tokens // BLOCK)
        self.next_block += count
        return list(range(self.next_block - count, self.next_block))

    def step(self, new=(), cached=(), resumed=()):
        """``new``: (request, block ids, computed, scheduled); ``cached`` the same with new ids."""
        expected = self.side.expect_weights()
        plan = self.side.plan(
            SimpleNamespace(
                scheduled_new_reqs=[
                    SimpleNamespace(
                        req_id=r.request_id, block_ids=(ids,), num_computed_tokens=computed
                    )
                    for r, ids, computed, _ in new
                ],
                scheduled_cached_reqs=SimpleNamespace(
                    req_ids=[r.request_id for r, *_ in cached],
                    resumed_req_ids={r.request_id for r in resumed},
                    new_block_ids=[(ids,) if ids else None for _, ids, *_ in cached],
                    num_computed_tokens=[computed for _, _, computed, _ in cached],
                ),
                num_scheduled_tokens={r.request_id: n for r, _, _, n in (*new, *cached)},
                total_num_scheduled_tokens=sum(n for *_, n in (*new, *cached)),
            )
        )
        if not expected.fits(0, self.weights):
            self.side.take_weights({0: Holding(self.weights, expected.plan)})
        return plan

    def prefill(self, name, tokens, local=0):
        """A request that is computed in one step; returns it, its blocks and the plan."""
        request = self.request(name, tokens)
        ids = self.blocks(len(tokens))
        assert self.side.match(request, local) == 0
        self.side.admit(request, ids, 0)
        return request, ids, self.step(new=[(request, ids, local, len(tokens) - local)])

    def hold(self, tokens):
        """Have the chunks of ``tokens`` in host memory, idle."""
        request, _, plan = self.prefill("hold", tokens)
        while plan.saves:
            self.side.take(copied(plan.saves))
            plan = self.step(cached=[(request, [], len(tokens), 1)])
        self.side.finish(request, owns_blocks=True)

    def compute(self, tokens, seconds):
        """A step takes so long."""
        number = self.pace.begin_step([tokens], [0])
        self.now_s += seconds
        self.pace.end_step(number)

    def bring(self, *, host_tokens=0, store_tokens=0, seconds):
        """A load takes so long."""
        journey = self.pace.begin_load(host_tokens, store_tokens, 0)
        self.now_s += seconds
        self.pace.end_load(journey, failed=False)

    def store(self, tokens):
        self.lookup.stored |= set(keys(tokens))


def keys(tokens, weights=WEIGHTS):
    return chunk_keys(tokens, CHUNK, namespace=namespace({"weights": weights_name((weights,))}))


def copied(saves):
    """Copied out, and put."""
    jobs = {save.job: 1 for save in saves}
    return Report(copied=jobs, stored=dict(jobs))


def ended(jobs, failed=()):
    return Report(loaded={job.job: 1 for job in jobs}, failed={job.job for job in failed})


TOKENS = list(range(100, 121))  # two chunks and a rest


@pytest.fixture
def vllm():
    return Vllm()


def test_whole_chunks_are_saved_once(vllm):
    request, ids, plan = vllm.prefill("r", TOKENS)
    assert [(s.key, s.block_ids) for s in plan.saves] == [
        (keys(TOKENS)[0], tuple(ids[:2])),
        (keys(TOKENS)[1], tuple(ids[2:4])),
    ]
    again = vllm.step(cached=[(request, [], len(TOKENS), 1)])
    assert again.saves == ()
    _, _, other = vllm.prefill("s", TOKENS, local=16)
    assert other.saves == ()


def test_a_chunk_is_saved_when_its_last_token_is_computed(vllm):
    request = vllm.request("r", TOKENS)
    ids = vllm.blocks(len(TOKENS))
    vllm.side.match(request, 0)
    vllm.side.admit(request, ids[:2], 0)
    assert len(vllm.step(new=[(request, ids[:2], 0, 7)]).saves) == 0
    assert len(vllm.step(cached=[(request, [], 7, 1)]).saves) == 1
    assert len(vllm.step(cached=[(request, ids[2:], 8, 13)]).saves) == 1


def test_generated_tokens_are_saved_but_drafted_ones_not(vllm):
    request, _, _ = vllm.prefill("r", TOKENS[:15])
    request.all_token_ids.append(1)  # the 16th token, computed in the next step
    plan = vllm.step(cached=[(request, [], 15, 5)])  # and four drafted ones
    assert [save.key for save in plan.saves] == [keys([*TOKENS[:15], 1])[1]]
    request.all_token_ids += [2, 3]
    assert vllm.step(cached=[(request, vllm.blocks(8), 18, 7)]).saves == ()


def test_prompts_only_when_so_configured():
    vllm = Vllm(saves_decode=False)
    request, _, plan = vllm.prefill("r", TOKENS[:15])
    assert len(plan.saves) == 1
    request.all_token_ids.append(1)
    assert vllm.step(cached=[(request, [], 15, 1)]).saves == ()


def test_a_producer_never_loads_and_a_consumer_never_saves():
    producer = Vllm(loads=False)
    producer.hold(TOKENS)
    assert producer.side.match(producer.request("r", TOKENS), 0) == 0
    consumer = Vllm(saves=False)
    assert consumer.prefill("r", TOKENS)[2].saves == ()
    consumer.store(TOKENS)
    assert consumer.side.match(consumer.request("s", TOKENS), 0) == 16


def test_nothing_is_said_until_the_store_has_answered(vllm):
    vllm.lookup.answers = False
    vllm.store(TOKENS)
    request = vllm.request("r", TOKENS)
    assert vllm.side.match(request, 0) is None
    assert 0 < vllm.step().patience_s < 0.01
    vllm.lookup.answers = True
    assert vllm.side.match(request, 0) == 16
    assert vllm.side.match(request, 0) == 16


def test_a_long_prompt_is_hashed_beside_the_schedulers_thread(vllm):
    tokens = list(range(1000 * CHUNK))
    vllm.store(tokens)
    request = vllm.request("r", tokens)
    assert 0 < vllm.step().patience_s < 0.01
    while (found := vllm.side.match(request, 0)) is None:
        pass  # the thread is at it
    assert found == 8 * CHUNK  # as many as there are slots
    vllm.side.finish(vllm.request("s", tokens), owns_blocks=True)


def test_host_memory_alone_answers_at_once(vllm):
    vllm.hold(TOKENS)
    vllm.lookup.answers = False
    assert vllm.side.match(vllm.request("r", TOKENS[:16]), 0) == 16


@pytest.mark.parametrize(("local", "found"), [(0, 16), (4, 12), (8, 8), (12, 4), (16, 0), (20, 0)])
def test_local_hits_are_not_loaded_again(vllm, local, found):
    vllm.store(TOKENS)
    request = vllm.request("r", TOKENS)
    assert vllm.side.match(request, local) == found
    ids = vllm.blocks(local + found)
    vllm.side.admit(request, ids, found)
    plan = vllm.step()
    wanted = [(load.first_token, load.block_ids) for load in plan.loads]
    blocks = [block for _, block_ids in wanted for block in block_ids]
    assert blocks == ids[local // BLOCK :]
    assert [first for first, _ in wanted] == ([local % CHUNK] + [0] * 9)[: len(wanted)]


def test_a_hit_is_cut_to_what_there_is_room_for():
    vllm = Vllm(slots=1)
    vllm.store(TOKENS)
    request = vllm.request("r", TOKENS)
    assert vllm.side.match(request, 0) == 8
    vllm.side.admit(request, vllm.blocks(8), 8)
    assert vllm.side.match(vllm.request("s", TOKENS[1:]), 0) == 0


def test_a_loaded_request_is_received_once_all_its_jobs_ended(vllm):
    vllm.store(TOKENS)
    request = vllm.request("r", TOKENS)
    vllm.side.match(request, 0)
    vllm.side.admit(request, vllm.blocks(16), 16)
    plan = vllm.step()
    assert plan.patience_s > 0
    first, second = plan.loads
    assert vllm.side.take(ended([first])) == set()
    assert vllm.side.take(ended([second])) == {"r"}
    assert vllm.side.host_tokens(request) == 0
    vllm.side.admit(request, vllm.blocks(24), 0)
    assert vllm.planner.index.room == 8
    assert vllm.side.counted()["store_hit_tokens"] == 16


def test_what_failed_once_is_recomputed_saved_and_not_tried_again(vllm):
    vllm.store(TOKENS)
    request = vllm.request("r", TOKENS)
    vllm.side.match(request, 0)
    vllm.side.admit(request, vllm.blocks(16), 16)
    loads = vllm.step().loads
    assert vllm.side.take(ended(loads, failed=loads[:1])) == {"r"}
    assert vllm.side.match(request, 0) == 0
    ids = vllm.blocks(len(TOKENS))
    vllm.side.admit(request, ids, 0)
    plan = vllm.step(new=[(request, ids, 0, len(TOKENS))])
    assert [save.key for save in plan.saves] == keys(TOKENS)[:1]  # the other one has arrived


def test_two_requests_share_one_fetch(vllm):
    vllm.store(TOKENS)
    a, b = vllm.request("a", TOKENS), vllm.request("b", TOKENS)
    for request in (a, b):
        assert vllm.side.match(request, 0) == 16
        vllm.side.admit(request, vllm.blocks(16), 16)
    loads = vllm.step().loads
    assert [load.fetch for load in loads] == [True, True, False, False]
    assert loads[0].slot == loads[2].slot
    assert vllm.side.take(ended(loads)) == {"a", "b"}
    assert vllm.side.host_tokens(b) == 16


def test_the_engine_steps_until_the_copies_of_a_finished_request_are_done(vllm):
    request, _, plan = vllm.prefill("r", TOKENS)
    vllm.side.finish(request, owns_blocks=True)
    first, second = plan.saves
    vllm.side.take(Report(copied={first.job: 1}))
    assert vllm.side.is_saving
    vllm.side.take(Report(copied={second.job: 1}))
    assert not vllm.side.is_saving
    vllm.side.take(Report(stored={first.job: 1, second.job: 1}))
    assert vllm.planner.index.room == 8


def test_a_request_aborted_while_it_loads_is_received_not_sent(vllm):
    vllm.store(TOKENS)
    request = vllm.request("r", TOKENS)
    vllm.side.match(request, 0)
    vllm.side.admit(request, vllm.blocks(16), 16)
    loads = vllm.step().loads
    vllm.side.finish(request, owns_blocks=True)
    assert not vllm.side.is_saving
    assert vllm.side.take(ended(loads)) == {"r"}
    assert vllm.planner.index.room == 8


def test_blocks_still_being_copied_are_not_written_before(vllm):
    request, ids, plan = vllm.prefill("r", TOKENS)
    other = vllm.request("s", range(8))
    vllm.side.match(other, 0)
    vllm.side.admit(other, ids[:2], 0)  # preempted: its blocks are given to another
    rewriting = vllm.step(new=[(other, ids[:2], 0, 8)])
    assert rewriting.reuses_blocks
    vllm.side.take(Report(copied={save.job: 1 for save in (*plan.saves, *rewriting.saves)}))
    assert not vllm.step(cached=[(request, ids, 0, 8)], resumed=[request]).reuses_blocks


def test_a_load_does_not_write_into_them_either(vllm):
    _, ids, _ = vllm.prefill("r", TOKENS)
    vllm.store(range(16))
    other = vllm.request("s", range(16))
    assert vllm.side.match(other, 0) == 16
    vllm.side.admit(other, ids[:4], 16)
    assert vllm.step().reuses_blocks


def test_a_shared_prefix_is_read_not_written(vllm):
    _, ids, _ = vllm.prefill("r", TOKENS)
    other = vllm.request("s", [*TOKENS[:16], 1, 2])
    vllm.side.match(other, 16)
    own = [*ids[:4], *vllm.blocks(2)]
    vllm.side.admit(other, own, 0)
    assert not vllm.step(new=[(other, own, 16, 2)]).reuses_blocks


def test_no_room_for_a_save_is_counted_and_no_harm(vllm):
    vllm = Vllm(slots=1)
    _, _, plan = vllm.prefill("r", TOKENS)
    assert len(plan.saves) == 1
    assert vllm.side.counted() == {"save_skipped_chunks": 1}


def test_after_a_reset_nothing_is_found_until_the_worker_has_read_its_weights(vllm):
    vllm.hold(TOKENS)
    running, _, _ = vllm.prefill("r", range(15))
    waiting = vllm.request("s", TOKENS)
    vllm.side.reset()
    assert vllm.side.match(waiting, 0) is None
    running.all_token_ids.append(1)
    assert vllm.step(cached=[(running, [], 15, 1)]).saves == ()
    assert vllm.side.match(waiting, 0) == 16  # they are the same
    assert len(vllm.step(cached=[(running, [], 16, 1)]).saves) == 1


def test_what_other_weights_computed_is_neither_found_nor_saved(vllm):
    vllm.hold(TOKENS)
    vllm.store(TOKENS)
    running, _, _ = vllm.prefill("r", range(15))
    waiting = vllm.request("s", TOKENS)
    vllm.side.reset()
    vllm.weights = "others"
    running.all_token_ids.append(1)
    vllm.step(cached=[(running, [], 15, 1)])
    assert vllm.side.match(waiting, 0) == 0
    assert vllm.step(cached=[(running, [], 16, 1)]).saves == ()
    _, _, plan = vllm.prefill("t", TOKENS)
    assert {save.key for save in plan.saves} == set(keys(TOKENS, "others"))


def test_a_request_behind_blocks_of_other_weights_is_not_saved(vllm):
    manager = SimpleNamespace(reset_prefix_cache=lambda: True)
    vllm.side.local_cache.bind(manager)
    vllm.prefill("r", TOKENS)
    vllm.weights = "others"
    vllm.step()
    _, _, plan = vllm.prefill("s", TOKENS, local=BLOCK)
    assert plan.saves == ()
    assert manager.reset_prefix_cache()
    vllm.step()
    _, _, plan = vllm.prefill("t", TOKENS, local=BLOCK)
    assert {save.key for save in plan.saves} == set(keys(TOKENS, "others"))


def test_weights_that_nobody_can_tell_from_others_cache_nothing(vllm):
    vllm.store(TOKENS)
    vllm.weights = UNKNOWABLE
    vllm.step()
    _, _, plan = vllm.prefill("r", TOKENS)
    assert (plan.loads, plan.saves) == ((), ())


def test_what_is_sooner_computed_than_loaded_is_refused_and_probed(vllm):
    vllm.store(TOKENS)
    for _ in range(2):  # a token takes a millisecond to compute, and a second to load
        vllm.compute(1000, seconds=1.0)
    vllm.bring(store_tokens=1, seconds=1.0)
    vllm.side.counted()
    request = vllm.request("r", TOKENS)
    assert vllm.side.match(request, 0) == 0
    vllm.side.admit(request, vllm.blocks(21), 0)
    plan = vllm.step(new=[(request, vllm.blocks(21), 0, 21)])
    (probe,) = plan.loads
    assert probe.key in keys(TOKENS)
    assert probe.fetch
    assert probe.block_ids == ()
    counted = vllm.side.counted()
    assert counted["refused_tokens"] == 16
    assert counted["probed_chunks"] == 1
    assert vllm.side.take(ended([probe])) == set()
    assert vllm.side.match(vllm.request("s", range(16)), 0) == 0
    assert vllm.step().loads == ()  # no probe for each request


def test_an_answer_that_comes_too_late_to_pay_is_not_awaited(vllm):
    vllm.store(TOKENS)
    vllm.compute(1000, seconds=1.0)
    vllm.bring(store_tokens=16, seconds=0.001)
    vllm.lookup.answers = False
    vllm.lookup.answer_s = [0.001]
    request = vllm.request("r", TOKENS)
    assert vllm.side.match(request, 0) is None
    vllm.lookup.waits_s = 0.3  # it is late, and nobody knows by how much
    assert vllm.side.match(request, 0) == 0
    vllm.lookup.answers = True
    vllm.lookup.waits_s = 0.0
    vllm.now_s += 10
    assert vllm.side.match(vllm.request("s", TOKENS), 0) == 16


def test_a_late_answer_to_one_request_costs_no_other_its_load(vllm):
    vllm.store(TOKENS)
    vllm.compute(1000, seconds=1.0)
    vllm.bring(store_tokens=16, seconds=0.95 * 0.016)  # pays, though not by much
    vllm.lookup.answers = False
    vllm.lookup.answer_s = [0.0]
    vllm.lookup.waits_s = 0.3
    assert vllm.side.match(vllm.request("r", TOKENS), 0) == 0
    vllm.lookup.answers = True
    vllm.lookup.waits_s = 0.0
    assert vllm.side.match(vllm.request("s", TOKENS), 0) == 16


def test_host_memory_is_used_while_the_store_is_refused(vllm):
    vllm.hold(TOKENS[:8])
    vllm.store(TOKENS)
    vllm.compute(1000, seconds=1.0)
    vllm.bring(store_tokens=8, seconds=8.0)
    vllm.bring(host_tokens=8, seconds=0.001)
    assert vllm.side.match(vllm.request("r", TOKENS), 0) == 8


def test_a_request_tries_host_memory_once_in_a_while_when_it_is_refused(vllm):
    vllm.hold(TOKENS)
    vllm.compute(1000, seconds=1.0)
    vllm.bring(host_tokens=8, seconds=8.0)
    found = [vllm.side.match(vllm.request(name, TOKENS[:16]), 0) for name in "abc"]
    assert found == [16, 0, 0]


def test_what_waits_in_line_is_fetched_ahead_and_then_loaded_from_host_memory(vllm):
    vllm.store(TOKENS)
    waiting = vllm.request("waiting", TOKENS)
    fetched = []
    for _ in range(3):  # a quarter of eight slots at once
        fetched += vllm.step().loads
    assert [(load.key, load.fetch, load.block_ids) for load in fetched] == [
        (key, True, ()) for key in keys(TOKENS)
    ]
    assert vllm.side.counted()["prefetched_chunks"] == 2
    assert vllm.side.take(ended(fetched)) == set()
    assert vllm.side.match(waiting, 0) == 16
    vllm.side.admit(waiting, vllm.blocks(16), 16)
    assert [load.fetch for load in vllm.step().loads] == [False, False]
    assert vllm.side.host_tokens(waiting) == 16


def test_a_load_may_begin_before_what_was_fetched_ahead_has_come(vllm):
    vllm.store(TOKENS)
    waiting = vllm.request("waiting", TOKENS)
    ahead = vllm.step().loads
    assert vllm.side.match(waiting, 0) == 16
    vllm.side.admit(waiting, vllm.blocks(16), 16)
    loads = vllm.step().loads
    assert vllm.side.take(ended(ahead, failed=ahead[:1])) == set()
    assert vllm.side.take(ended(loads, failed=loads[:1])) == {"waiting"}
    assert vllm.planner.index.room == 8


def test_nothing_is_fetched_ahead_where_nothing_is_kept():
    vllm = Vllm(keep=False)
    vllm.store(TOKENS)
    vllm.request("waiting", TOKENS)
    assert vllm.step().loads == ()


def test_a_request_that_has_gone_from_the_line_is_not_fetched_for(vllm):
    vllm.store(TOKENS)
    vllm.side.finish(vllm.request("waiting", TOKENS), owns_blocks=True)
    assert vllm.step().loads == ()


def test_a_load_is_given_up_after_twice_the_time_it_was_worth(vllm):
    vllm.store(TOKENS)
    vllm.compute(1000, seconds=100.0)
    request = vllm.request("r", TOKENS)
    assert vllm.side.match(request, 0) == 16
    vllm.side.admit(request, vllm.blocks(16), 16)
    assert [load.within_s for load in vllm.step().loads] == [pytest.approx(3.2)] * 2


LONG = list(range(200, 250))  # six chunks and a rest


@pytest.fixture
def few_a_step(monkeypatch):
    """Of what one step brings, two chunks."""
    for name in ("saves._A_STEP", "loads._A_STEP", "loads._AT_ONCE", "prefetch._AT_ONCE"):
        monkeypatch.setattr(f"kvtransfer.requests.{name}", 2)


def saved(*plans):
    return [save.key for plan in plans for save in plan.saves]


@pytest.mark.usefixtures("few_a_step")
def test_what_a_step_has_no_time_for_is_saved_in_the_next_ones(vllm):
    request, ids, first = vllm.prefill("r", LONG)
    then = [vllm.step(cached=[(request, [], len(LONG), 1)]) for _ in range(3)]
    assert [len(plan.saves) for plan in (first, *then)] == [2, 2, 2, 0]
    assert saved(first, *then) == keys(LONG)
    assert [block for plan in (first, *then) for s in plan.saves for block in s.block_ids] == ids[
        :12
    ]


def test_the_more_wait_the_more_a_step_saves(vllm, monkeypatch):
    monkeypatch.setattr("kvtransfer.requests.saves._A_STEP", 1)
    request, _, first = vllm.prefill("r", range(8 * 8))
    then = [vllm.step(cached=[(request, [], 8 * 8, 1)]) for _ in range(6)]
    assert [len(plan.saves) for plan in (first, *then)] == [2, 1, 1, 1, 1, 1, 1]


@pytest.mark.usefixtures("few_a_step")
def test_nothing_more_is_saved_of_a_request_that_is_not_scheduled(vllm):
    request, _, _ = vllm.prefill("r", LONG)
    _, _, plan = vllm.prefill("s", range(8))
    assert saved(plan) == keys(range(8))
    assert 0 < vllm.step().patience_s < 0.01
    assert saved(vllm.step(cached=[(request, [], len(LONG), 1)])) == keys(LONG)[2:4]


@pytest.mark.usefixtures("few_a_step")
@pytest.mark.parametrize("as_new", [True, False])
def test_a_preempted_request_saves_the_rest_from_the_blocks_it_gets_then(vllm, as_new):
    request, old, _ = vllm.prefill("r", LONG)
    assert vllm.side.match(request, 0) == 16  # what it has saved
    own = vllm.blocks(32)
    vllm.side.admit(request, own, 0)
    assert vllm.step().saves == ()
    part = (request, own, 16, 16)
    plan = vllm.step(new=[part]) if as_new else vllm.step(cached=[part], resumed=[request])
    assert [(s.key, s.block_ids) for s in plan.saves] == [
        (keys(LONG)[2], tuple(own[4:6])),
        (keys(LONG)[3], tuple(own[6:8])),
    ]
    assert not set(own) & set(old)
    assert vllm.step(cached=[(request, [], 32, 1)]).saves == ()  # no more than is computed


@pytest.mark.usefixtures("few_a_step")
def test_what_a_finished_request_has_left_is_saved_by_the_next_steps(vllm):
    request, _, plan = vllm.prefill("r", LONG)
    vllm.side.finish(request, owns_blocks=True)
    vllm.side.take(copied(plan.saves))
    assert vllm.side.is_saving
    second, third = vllm.step(), vllm.step()
    assert saved(plan, second, third) == keys(LONG)
    vllm.side.take(copied([*second.saves, *third.saves]))
    assert not vllm.side.is_saving
    assert vllm.step().saves == ()


@pytest.mark.usefixtures("few_a_step")
def test_what_a_finished_request_has_left_is_saved_before_its_blocks_are_written(vllm):
    request, ids, plan = vllm.prefill("r", LONG)
    vllm.side.finish(request, owns_blocks=True)
    other = vllm.request("s", range(8))
    vllm.side.match(other, 0)
    vllm.side.admit(other, ids[10:12], 0)  # they are vLLM's again
    rewriting = vllm.step(new=[(other, ids[10:12], 0, 8)])
    assert rewriting.reuses_blocks
    assert [save.key for save in rewriting.first_saves] == keys(LONG)[2:]
    assert saved(rewriting) == keys(range(8))
    vllm.side.take(copied([*plan.saves, *rewriting.first_saves, *rewriting.saves]))
    assert not vllm.side.is_saving


@pytest.mark.usefixtures("few_a_step")
def test_a_load_of_another_connector_does_not_write_into_them_either(vllm):
    request, ids, _ = vllm.prefill("r", LONG)
    vllm.side.finish(request, owns_blocks=True)
    other = vllm.request("s", range(16))
    vllm.side.match(other, 0)
    vllm.side.admit(other, ids[8:12], 0)  # it is not scheduled before the other one has loaded it
    assert [save.key for save in vllm.step().first_saves] == keys(LONG)[2:]


@pytest.mark.usefixtures("few_a_step")
def test_a_name_may_come_again_before_all_is_saved(vllm):
    request, _, plan = vllm.prefill("r", LONG)
    vllm.side.finish(request, owns_blocks=True)
    again, _, other = vllm.prefill("r", range(40))
    assert saved(other) == keys(LONG)[2:4]
    vllm.side.finish(again, owns_blocks=True)
    assert saved(plan, other, *(vllm.step() for _ in range(3)))[:6] == keys(LONG)


@pytest.mark.usefixtures("few_a_step")
def test_all_that_is_left_can_be_had_without_a_step(vllm):
    request, _, plan = vllm.prefill("r", LONG)
    running, _, _ = vllm.prefill("s", range(8))
    vllm.side.finish(request, owns_blocks=True)
    assert saved(plan) + [save.key for save in vllm.side.rest()] == keys(LONG)
    assert not vllm.side.rest()
    assert vllm.step(cached=[(running, [], 8, 1)]).saves == ()


@pytest.mark.usefixtures("few_a_step")
def test_a_request_that_ends_while_it_is_preempted_has_nothing_to_save(vllm):
    request, _, plan = vllm.prefill("r", LONG)
    vllm.side.take(copied(plan.saves))
    vllm.side.finish(request, owns_blocks=False)
    assert vllm.step().saves == ()
    assert not vllm.side.is_saving


@pytest.mark.usefixtures("few_a_step")
def test_the_engine_does_not_step_for_what_there_is_no_slot_for():
    vllm = Vllm(slots=2)
    request, _, plan = vllm.prefill("r", LONG)
    vllm.side.finish(request, owns_blocks=True)
    assert saved(vllm.step(), vllm.step()) == []
    vllm.side.take(copied(plan.saves))
    assert not vllm.side.is_saving


@pytest.mark.usefixtures("few_a_step")
def test_other_weights_drop_what_is_not_saved_yet(vllm):
    running, _, first = vllm.prefill("r", LONG)
    ended, _, second = vllm.prefill("s", range(40))
    vllm.side.finish(ended, owns_blocks=True)
    vllm.side.take(copied([*first.saves, *second.saves]))
    vllm.weights = "others"
    vllm.side.reset()
    vllm.step()
    assert not vllm.side.is_saving
    assert vllm.step(cached=[(running, [], len(LONG), 1)]).saves == ()


def load_long(vllm, local=0):
    """A request of six chunks that are stored begins to load; returns it and its blocks."""
    vllm.store(LONG)
    request = vllm.request("r", LONG)
    assert vllm.side.match(request, local) == 48 - local
    ids = vllm.blocks(48)
    vllm.side.admit(request, ids, 48 - local)
    return request, ids


@pytest.mark.usefixtures("few_a_step")
def test_a_long_load_gets_its_jobs_in_pieces_and_is_received_after_the_last(vllm):
    _, ids = load_long(vllm, local=4)
    plans = [vllm.step() for _ in range(4)]
    assert [len(plan.loads) for plan in plans] == [2, 2, 2, 0]
    loads = [load for plan in plans for load in plan.loads]
    assert [load.key for load in loads] == keys(LONG)
    assert [block for load in loads for block in load.block_ids] == ids[1:]
    assert [load.first_token for load in loads] == [4, 0, 0, 0, 0, 0]
    assert len({load.turn for load in loads}) == 1
    for load in loads[:-1]:
        assert vllm.side.take(ended([load])) == set()
    assert vllm.side.take(ended(loads[-1:])) == {"r"}
    assert vllm.side.counted()["store_hit_tokens"] == 44


@pytest.mark.usefixtures("few_a_step")
def test_a_load_is_not_received_between_two_pieces(vllm):
    load_long(vllm)
    received = [vllm.side.take(ended(vllm.step().loads)) for _ in range(3)]
    assert received == [set(), set(), {"r"}]
    assert vllm.planner.index.room == 8


@pytest.mark.usefixtures("few_a_step")
def test_room_that_was_promised_is_given_to_nobody_else(vllm):
    load_long(vllm)  # six of eight slots
    vllm.store(range(40))
    other = vllm.request("s", range(40))
    vllm.step()
    ahead = vllm.step().loads[2:]
    assert [load.key for load in ahead] == keys(range(40))[:2]
    _, _, plan = vllm.prefill("t", range(300, 308))
    assert plan.saves == ()
    assert vllm.side.counted()["save_skipped_chunks"] == 1
    assert vllm.side.match(other, 0) == 16
    assert vllm.planner.room == 0


@pytest.mark.usefixtures("few_a_step")
def test_what_host_memory_holds_stays_until_its_turn():
    vllm = Vllm(slots=6)
    vllm.hold(LONG)
    request = vllm.request("r", LONG)
    assert vllm.side.match(request, 0) == 48
    vllm.side.admit(request, vllm.blocks(48), 48)
    loads = [*vllm.step().loads]
    assert vllm.side.take(ended(loads)) == set()
    _, _, plan = vllm.prefill("s", range(40))
    assert len(plan.saves) == 2  # those of the first piece may go
    loads = [*plan.loads, *vllm.step().loads]
    assert [load.key for load in loads] == keys(LONG)[2:]
    assert not any(load.fetch for load in loads)
    assert vllm.side.take(ended(loads)) == {"r"}


@pytest.mark.usefixtures("few_a_step")
@pytest.mark.parametrize("planned", [0, 1, 2])
def test_a_request_aborted_between_two_pieces_gets_no_more(vllm, planned):
    request, _ = load_long(vllm)
    loads = [load for _ in range(planned) for load in vllm.step().loads]
    vllm.side.finish(request, owns_blocks=True)
    plan = vllm.step()
    assert plan.loads == ()
    assert plan.wants_report == (not loads)
    assert vllm.side.take(ended(loads)) == {"r"}
    assert vllm.planner.room == 8


@pytest.mark.usefixtures("few_a_step")
def test_behind_a_piece_that_failed_nothing_more_is_loaded(vllm):
    request, _ = load_long(vllm)
    loads = vllm.step().loads
    assert vllm.side.take(ended(loads, failed=loads[1:])) == {"r"}
    assert vllm.step().loads == ()
    assert vllm.planner.room == 8
    assert vllm.side.match(request, 0) == 0


@pytest.mark.usefixtures("few_a_step")
def test_the_time_that_a_load_may_take_does_not_begin_anew_with_each_piece(vllm):
    vllm.compute(1000, seconds=100.0)
    load_long(vllm)
    first = vllm.step().loads
    vllm.now_s += 4.0
    second = vllm.step().loads
    assert first[0].within_s - second[0].within_s == pytest.approx(4.0)


@pytest.mark.usefixtures("few_a_step")
def test_no_load_counts_on_what_the_same_step_saves(vllm):
    computed, ids = vllm.request("s", LONG), vllm.blocks(len(LONG))
    assert vllm.side.match(computed, 0) == 0
    vllm.side.admit(computed, ids, 0)
    load_long(vllm)
    vllm.lookup.questions["s"] = set()  # it came before they were stored
    plan = vllm.step(new=[(computed, ids, 0, len(LONG))])
    assert [load.fetch for load in plan.loads] == [True, True]
    assert saved(plan) == keys(LONG)[2:4]
    assert [load.fetch for load in vllm.step().loads] == [False, False]  # saved before


@pytest.mark.usefixtures("few_a_step")
def test_what_is_fetched_ahead_comes_in_pieces_until_the_request_is_scheduled():
    vllm = Vllm(slots=24)
    vllm.store(LONG)
    waiting = vllm.request("waiting", LONG)
    fetched = [vllm.step().loads for _ in range(3)]
    assert [len(loads) for loads in fetched] == [0, 2, 2]
    vllm.side.match(waiting, 0)
    assert vllm.step().loads == ()


class Pool:
    """Blocks that are given away again at once, and what the workers have written into each."""

    def __init__(self, count):
        self.free = list(range(count))
        self.contents = {}

    def take(self, tokens):
        count = -(-tokens // BLOCK)
        taken, self.free = self.free[:count], self.free[count:]
        return taken

    def write(self, ids, tokens, first=0):
        """The prefix of ``tokens`` up to its end is what a block holds."""
        for i, block in enumerate(ids, first):
            self.contents[block] = tuple(tokens[: (i + 1) * BLOCK])

    def spoil(self, ids):
        self.contents.update(dict.fromkeys(ids))


class Keys(KeySpace):
    """Remembers which tokens each key stands for."""

    def __init__(self):
        self.tokens = {}

    def chain(self, request, weights, adapter, media):
        known, tokens = super().chain(request, weights, adapter, media), request.all_token_ids
        for i, key in enumerate(known.extend(tokens), 1):
            self.tokens[key] = tokens[: i * CHUNK]
        return super().chain(request, weights, adapter, media)


SHARED = st.sampled_from([0, 8, 24])


class AnyOrder(RuleBasedStateMachine):
    """Requests come, load, run, finish and are aborted while reports arrive in any order."""

    def __init__(self):
        super().__init__()
        self.known = Keys()
        self.vllm = Vllm(slots=6, key_space=self.known)
        self.pool = Pool(24)
        self.waiting, self.loading, self.running = {}, {}, {}
        self.jobs = []  # (kind, job) that a worker is at
        self.copying = {}  # saves whose blocks have not been read
        self.owned = {}  # blocks by request
        self.filled = {}  # the chunk whose bytes each slot has
        self.failed = set()
        self.count = 0

    @rule(length=st.integers(1, 42), shared=SHARED, stored=st.booleans())
    def arrive(self, length, shared, stored):
        self.queue(length, shared, stored)

    @precondition(lambda self: len(self.pool.free) >= 11)
    @rule(length=st.integers(17, 42), shared=SHARED, stored=st.booleans())
    def arrive_and_end(self, length, shared, stored):
        """One token is all it wanted."""
        name = self.queue(length, shared, stored)
        self.begin(name)
        if name in self.running:
            self.end(name)

    def queue(self, length, shared, stored):
        self.count += 1
        tokens = [0 if i < shared else self.count for i in range(length)]
        name = f"r{self.count}"
        self.waiting[name] = self.vllm.request(name, tokens)
        if stored:
            self.vllm.store(tokens)
        return name

    @precondition(lambda self: self.waiting and len(self.pool.free) >= 11)
    @rule(data=st.data())
    def schedule(self, data):
        self.begin(data.draw(st.sampled_from(sorted(self.waiting))))

    def begin(self, name):
        request = self.waiting[name]
        tokens = len(request.all_token_ids)
        external = self.vllm.side.match(request, 0)
        if external is None:
            self.worker(self.vllm.step())
            return
        del self.waiting[name]
        assert 0 <= external <= tokens
        assert external % CHUNK == 0
        ids = self.owned[name] = self.pool.take(external or tokens)
        self.vllm.side.admit(request, ids, external)
        if external:
            self.loading[name] = request
            self.worker(self.vllm.step())
        else:
            self.run(request, ids, 0)

    def run(self, request, ids, computed):
        self.running[request.request_id] = request
        tokens = request.all_token_ids
        plan = self.vllm.step(new=[(request, ids, computed, len(tokens) - computed)])
        self.worker(plan, lambda: self.pool.write(ids, tokens))

    @rule(data=st.data())
    def step(self, data):
        """Some of those that run are computed."""
        names = sorted(self.running)
        chosen = data.draw(st.lists(st.sampled_from(names), unique=True)) if names else []
        parts = [(self.running[name], [], self.tokens(name), 1) for name in chosen]
        plan = self.vllm.step(cached=parts)
        self.worker(plan)
        if plan.wants_report:
            self.take(Report())

    def tokens(self, name):
        return len(self.running[name].all_token_ids)

    def worker(self, plan, compute=lambda: None):
        for put in plan.puts:
            assert self.filled.get(put.slot) == put.key
        for job in (*plan.first_saves, *plan.loads, *plan.saves):
            if not hasattr(job, "fetch") or job.fetch:
                self.filled.pop(job.slot, None)
        self.copying.update({save.job: save for save in plan.first_saves})
        if plan.reuses_blocks:
            for job in list(self.copying):
                self.read(job)
        for load in plan.loads:
            self.pool.spoil(load.block_ids)
        compute()
        self.copying.update({save.job: save for save in plan.saves})
        self.jobs += [("loaded", load) for load in plan.loads]
        saves = (*plan.first_saves, *plan.saves)
        self.jobs += [(kind, save) for save in saves for kind in ("copied", "stored")]
        self.jobs += [("stored", put) for put in plan.puts]

    def read(self, job):
        save = self.copying.pop(job, None)
        if save is not None:
            tokens = self.known.tokens[save.key]
            own = range(len(tokens) - CHUNK + BLOCK, len(tokens) + 1, BLOCK)
            expected = [tuple(tokens[:end]) for end in own]
            assert [self.pool.contents[block] for block in save.block_ids] == expected
            self.filled[save.slot] = save.key

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), fails=st.booleans())
    def report(self, data, fails):
        kind, job = self.jobs.pop(data.draw(st.integers(0, len(self.jobs) - 1)))
        report = Report(**{kind: {job.job: 1}})
        if kind == "copied":
            self.read(job.job)
        if kind == "loaded" and not fails:
            self.filled[job.slot] = job.key
        if kind == "loaded" and not fails and job.block_ids:
            first = len(self.known.tokens[job.key]) // BLOCK - len(job.block_ids)
            self.pool.write(job.block_ids, self.known.tokens[job.key], first)
        if fails and kind != "stored":
            report.failed.add(job.job)
            self.failed.update(job.block_ids)
        for request in self.take(report):
            self.receive(request)

    def receive(self, request):
        name, tokens = request.request_id, request.all_token_ids
        ids = self.owned.get(name, [])
        computed = 0 if self.failed.intersection(ids) else len(ids) * BLOCK
        if hasattr(request, "aborted"):
            self.give_back(name)
        else:
            more = -(-len(tokens) // BLOCK) - len(ids)
            if more <= len(self.pool.free):
                self.owned[name] = ids = [*ids, *self.pool.take(more * BLOCK)]
                self.vllm.side.admit(request, ids, 0)
                self.run(request, ids, computed)
            else:
                self.give_back(name)
                self.vllm.side.finish(request, owns_blocks=True)

    def give_back(self, name):
        ids = self.owned.pop(name)
        self.failed.difference_update(ids)
        self.pool.free = [*reversed(ids), *self.pool.free]

    def take(self, report):
        """Returns the requests received."""
        received = self.vllm.side.take(report)
        assert received <= self.loading.keys()
        return [self.loading.pop(name) for name in received]

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data):
        self.end(data.draw(st.sampled_from(sorted(self.running))))

    def end(self, name):
        self.vllm.side.finish(self.running.pop(name), owns_blocks=True)
        self.give_back(name)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), ends=st.booleans())
    def preempt(self, data, ends):
        name = data.draw(st.sampled_from(sorted(self.running)))
        request = self.running.pop(name)
        self.give_back(name)
        if ends:
            self.vllm.side.finish(request, owns_blocks=False)
        else:
            self.waiting[name] = request

    @precondition(lambda self: any(not hasattr(r, "aborted") for r in self.loading.values()))
    @rule(data=st.data())
    def abort_while_loading(self, data):
        alive = sorted(n for n, r in self.loading.items() if not hasattr(r, "aborted"))
        request = self.loading[data.draw(st.sampled_from(alive))]
        request.aborted = True
        self.vllm.side.finish(request, owns_blocks=True)

    @rule(weights=st.sampled_from([WEIGHTS, "others"]))
    def reset(self, weights):
        self.vllm.weights = weights
        self.vllm.side.reset()

    @rule()
    def save_the_rest(self):
        """As where the engine is called in the caller's process, which then puts it to sleep."""
        self.worker(Plan(saves=tuple(self.vllm.side.rest())))

    @invariant()
    def no_slot_is_filled_by_two(self):
        fillers = {}
        for kind, job in self.jobs:
            if kind == "copied" or (kind == "loaded" and job.fetch):
                assert fillers.setdefault(job.slot, job.job) == job.job

    def teardown(self):
        for _ in range(100):
            self.worker(plan := self.vllm.step())
            while self.jobs:
                kind, job = self.jobs.pop()
                self.read(job.job if kind == "copied" else None)
                self.take(Report(**{kind: {job.job: 1}}))
            if plan.wants_report:
                self.take(Report())
            if not (self.loading or self.vllm.side.is_saving):
                break
        assert not self.loading
        assert not self.vllm.side.is_saving
        assert self.vllm.planner.room == 6


@pytest.mark.parametrize("chunks_a_step", [16, 1])
def test_in_any_order(monkeypatch, chunks_a_step):
    for name in ("saves._A_STEP", "loads._A_STEP", "loads._AT_ONCE", "prefetch._AT_ONCE"):
        monkeypatch.setattr(f"kvtransfer.requests.{name}", chunks_a_step)
    case = AnyOrder.TestCase
    case.settings = settings(
        max_examples=100,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    case().runTest()


def image(content, name):
    """One whose data are the number ``content``; a caller has named it."""
    data = Data(content)
    place = SimpleNamespace(offset=0, length=2, is_embed=None)
    return SimpleNamespace(data=data, identifier=name, mm_hash=name, mm_position=place)


class Data:
    def __init__(self, content):
        self.content = content

    def get_data(self):
        return {"content": self.content}


def test_a_medium_whose_name_turns_out_to_stand_for_two_is_not_saved():
    """The first may be computed with what vLLM keeps of the second, if that runs first."""
    vllm = Vllm()
    first, second = (
        vllm.request(name, range(16), [image(content, "x")])
        for content, name in enumerate(("first", "second"))
    )
    for request in (first, second):
        while (found := vllm.side.match(request, 0)) is None:
            pass
        assert found == 0
    ids = vllm.blocks(16)
    vllm.side.admit(first, ids, 0)
    assert not vllm.step(new=[(first, ids, 0, 16)]).saves
    vllm.side.close()


def test_a_medium_under_a_name_of_its_own_is_saved():
    vllm = Vllm()
    request = vllm.request("only", range(16), [image(1, "x")])
    while vllm.side.match(request, 0) is None:
        pass
    ids = vllm.blocks(16)
    vllm.side.admit(request, ids, 0)
    assert len(vllm.step(new=[(request, ids, 0, 16)]).saves) == 2
    vllm.side.close()
