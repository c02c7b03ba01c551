"""Requests with LoRA adapters: the keys tell what vLLM has loaded, whatever lies on the disk."""

from __future__ import annotations

import shutil
import time
from contextlib import closing

import pytest

from tests.connector.engine_process import Request, Setup
from tests.connector.inputs import connected, prompt
from tests.connector.tiny_adapter import OPTIONS, write_adapter
from tests.connector.vllm_variants import V1

pytestmark = pytest.mark.vllm

ON_ONE_RUNNER = pytest.mark.parametrize("engines", [V1], indirect=True, ids=lambda one: one.name)
"""For what depends on files and keys, which no runner of vLLM sees."""
PATIENT = {"lookup_timeout_ms": 60_000, "remote_timeout_ms": 60_000}
PROMPT = prompt(300, seed=11)


def adapter(path, name="style", number=1, **more):
    return {"lora_name": name, "lora_int_id": number, "lora_path": str(path), **more}


def asked(path, *, ids=PROMPT, **more):
    return Request(ids, adapter=adapter(path, **more))


@pytest.fixture(scope="module")
def right(engines, model, tmp_path_factory):
    """What vLLM answers by itself with the adapter of a seed; None: without one."""
    root = tmp_path_factory.mktemp("right")
    off = {**OPTIONS, "enable_prefix_caching": False}
    with engines.start(Setup(model, options=off)) as engine:
        numbers = {}

        def answers(seed, ids=PROMPT):
            if seed is None:
                return engine.generate(Request(ids)).answers
            number = numbers.setdefault(seed, len(numbers) + 1)
            path = write_adapter(root / f"seed-{seed}", seed=seed)
            found = engine.generate(asked(path, ids=ids, name=f"seed-{seed}", number=number))
            return found.answers

        assert len({str(answers(seed)) for seed in (None, 0, 1)}) == 3
        yield answers


@pytest.fixture
def start(engines, model, server):
    def starts(**options):
        setup = connected(model, server.url, options={**OPTIONS, **options}, **PATIENT)
        return engines.start(setup)

    return starts


def answered(engine, request, answers, external_tokens):
    """``engine`` answers rightly, and has got so much from the store."""
    outcome = engine.generate(request)
    assert (outcome.answers, outcome.external_tokens) == (answers, external_tokens)


def test_equal_content_is_shared_whatever_its_name_and_place(start, right, tmp_path):
    here = write_adapter(tmp_path / "here")
    there = write_adapter(tmp_path / "there")
    with start() as engine:
        answered(engine, asked(here), right(0), 0)
    with start() as engine:
        answered(engine, asked(there, name="other", number=7), right(0), 256)


@ON_ONE_RUNNER
def test_without_an_adapter_beside_others_on_a_cpu(start, right, tmp_path):
    """There vLLM computes such a request with an adapter of its batch: its tokens are not kept."""
    path = write_adapter(tmp_path / "x")
    with start() as engine:
        engine.generate(asked(path), Request(PROMPT))
    with start() as engine:
        answered(engine, Request(PROMPT), right(None), 0)


@ON_ONE_RUNNER
def test_another_content_or_strength_is_no_hit(start, right, tmp_path):
    with start() as engine:
        answered(engine, asked(write_adapter(tmp_path / "x")), right(0), 0)
    with start() as engine:
        answered(engine, asked(write_adapter(tmp_path / "x", seed=1)), right(1), 0)
    with start() as engine:
        weaker = engine.generate(asked(write_adapter(tmp_path / "x", alpha=2)))
    assert weaker.external_tokens == 0
    assert weaker.answers not in (right(0), right(1))


def test_overwritten_in_place_and_loaded_again(start, right, tmp_path):
    """vLLM's own cache holds the old tokens still, and is right to itself: not asked here."""
    path, other = write_adapter(tmp_path / "x"), prompt(300, seed=12)
    with start(enable_prefix_caching=False) as engine:
        answered(engine, asked(path), right(0), 0)
        write_adapter(path, seed=1)
        answered(engine, asked(path, ids=other), right(0, other), 0)  # vLLM holds the old one
        engine.add_adapter(adapter(path, load_inplace=True))
        answered(engine, asked(path), right(1), 0)
        answered(engine, asked(path, ids=other), right(1, other), 0)
    with start() as engine:
        answered(engine, asked(path), right(1), 256)
        old = write_adapter(tmp_path / "old")
        answered(engine, asked(old, name="old", number=2), right(0), 256)
        answered(engine, asked(old, ids=other, name="old", number=2), right(0, other), 256)


@ON_ONE_RUNNER
def test_what_vllms_own_stale_cache_began_is_not_saved(start, right, tmp_path):
    path = write_adapter(tmp_path / "x")
    longer = [*PROMPT, *prompt(300, seed=13)]
    with start() as engine:
        answered(engine, asked(path), right(0), 0)
        write_adapter(path, seed=1)
        engine.add_adapter(adapter(path, load_inplace=True))
        stale = engine.generate(asked(path, ids=longer))
        assert stale.cached_tokens[0] > 0  # plain vLLM goes on from the old adapter's tokens, too
        assert stale.external_tokens == 0
    with start() as engine:
        answered(engine, asked(path, ids=longer), right(1, longer), 0)


def test_replaced_under_a_running_request(start, right, tmp_path):
    """What it computes from then on is of both, as in plain vLLM: none of it is kept."""
    path = write_adapter(tmp_path / "x")
    with start(enable_prefix_caching=False) as engine:
        engine.submit(Request(PROMPT, answer_tokens=100, adapter=adapter(path)))
        while not engine.counted().get("put_bytes"):
            assert engine.step(), "answered before its prompt was stored"
            time.sleep(0.05)  # a hundred steps then leave five seconds to store it
        write_adapter(path, seed=1)
        engine.add_adapter(adapter(path, load_inplace=True))
        (answer,) = engine.run().answers
    longer = [*PROMPT, *answer]
    old = write_adapter(tmp_path / "old")
    with start() as engine:
        answered(engine, asked(old, ids=longer), right(0, longer), 256)
        new = asked(path, ids=longer, name="new", number=2)
        answered(engine, new, right(1, longer), 0)


@ON_ONE_RUNNER
def test_removed_and_loaded_under_another_number(start, right, tmp_path):
    path = write_adapter(tmp_path / "x")
    with start(enable_prefix_caching=False) as engine:
        answered(engine, asked(path), right(0), 0)
        engine.remove_adapter(1)
        write_adapter(path, seed=1)
        answered(engine, asked(path, number=2), right(1), 0)
    with start() as engine:
        answered(engine, asked(path), right(1), 256)


@ON_ONE_RUNNER
def test_one_that_each_step_reads_again_is_not_cached(start, right, tmp_path):
    path = write_adapter(tmp_path / "x")
    with start(enable_prefix_caching=False) as engine:
        for _ in range(2):
            answered(engine, asked(path, load_inplace=True), right(0), 0)
    with start() as engine:
        answered(engine, asked(path), right(0), 0)


@ON_ONE_RUNNER
def test_the_home_of_another_user(engines, model, server, right, tmp_path):
    for user, seed in (("ann", 0), ("bob", 1)):
        (tmp_path / user).mkdir()
        write_adapter(tmp_path / user / "a", seed=seed)
        setup = connected(model, server.url, options=OPTIONS)
        with closing(engines.start(setup, {"HOME": str(tmp_path / user)})) as engine:
            answered(engine, asked("~/a"), right(seed), 0)


@ON_ONE_RUNNER
def test_a_name_of_the_hub(engines, model, server, right, tmp_path):
    """Two caches hold two versions of what one name means."""
    for cache, seed in (("one", 0), ("two", 1)):
        repo = tmp_path / cache / "models--us--style"
        (repo / "refs").mkdir(parents=True)
        (repo / "snapshots").mkdir()
        (repo / "refs" / "main").write_text("abc")
        write_adapter(repo / "snapshots" / "abc", seed=seed)
        setup = connected(model, server.url, options=OPTIONS)
        environment = {"HF_HUB_CACHE": str(tmp_path / cache), "HF_HUB_OFFLINE": "1"}
        environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        with closing(engines.start_afresh(setup, environment)) as engine:
            answered(engine, asked("us/style"), right(seed), 0)


@ON_ONE_RUNNER
def test_a_folder_that_is_gone_harms_nobody(start, right, tmp_path):
    """Loaded is loaded: vLLM goes on with it, and so do the keys."""
    path, other = write_adapter(tmp_path / "x"), prompt(300, seed=14)
    with start() as engine:
        answered(engine, asked(path), right(0), 0)
        shutil.rmtree(path)
        answered(engine, asked(path, ids=other), right(0, other), 0)
        answered(engine, Request(PROMPT), right(None), 0)
    copy = write_adapter(tmp_path / "copy")
    with start() as engine:
        answered(engine, asked(copy, ids=other), right(0, other), 256)


@ON_ONE_RUNNER
def test_files_that_are_gone_before_the_first_request(start, right, tmp_path):
    path = write_adapter(tmp_path / "x")
    with start() as engine:
        engine.add_adapter(adapter(path))
        for file in path.iterdir():
            file.unlink()
        answered(engine, asked(path), right(0), 0)
    with start() as engine:
        answered(engine, asked(write_adapter(path)), right(0), 256)


@ON_ONE_RUNNER
def test_a_link_that_leads_elsewhere(start, right, tmp_path):
    link = tmp_path / "link"
    for seed in (0, 1):
        write_adapter(tmp_path / f"x{seed}", seed=seed)
    link.symlink_to(tmp_path / "x0")
    with start() as engine:
        answered(engine, asked(link), right(0), 0)
    link.unlink()
    link.symlink_to(tmp_path / "x1")
    with start() as engine:
        answered(engine, asked(link), right(1), 0)


@pytest.mark.parametrize("most", [1, 2])
def test_adapters_side_by_side_and_in_turn(start, right, tmp_path, most):
    """With room for one, each request finds that another's adapter has taken its place."""
    paths = [write_adapter(tmp_path / f"x{seed}", seed=seed) for seed in (0, 1)]
    requests = [asked(path, name=f"n{i}", number=i + 1) for i, path in enumerate(paths)]
    for external_tokens in (0, 2 * 256):
        with start(max_loras=most) as engine:
            outcome = engine.generate(*requests)
        assert outcome.answers == [*right(0), *right(1)]
        assert outcome.external_tokens == external_tokens
