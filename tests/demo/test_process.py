import os
import signal

import psutil
import pytest
from tokenizers import Tokenizer

from demo.engine import Job, Setup
from demo.process import EngineError, EngineProcess
from demo.smollm2 import model_folder

pytestmark = pytest.mark.vllm

PROMPT = list(range(300, 400))


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def engine(logs):
    with EngineProcess(Setup(str(model_folder())), logs / "plain.log", {}) as running:
        yield running


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_tells_what_was_computed_and_what_was_not(engine):
    cold = engine.answer(Job(PROMPT, answer_tokens=4))
    hit = engine.answer(Job(PROMPT, answer_tokens=4))
    assert (cold.prompt_tokens, cold.computed_tokens) == (100, 100)
    assert (hit.local_tokens, hit.computed_tokens) == (96, 4)  # whole blocks of 32
    assert hit.token_ids == cold.token_ids
    assert (hit.restored_tokens, hit.fetched_bytes) == (0, 0)
    assert hit.ttft_s > 0


def test_a_job_may_ask_for_an_empty_prefix_cache(engine):
    engine.answer(Job(PROMPT, answer_tokens=1))
    assert engine.answer(Job(PROMPT, answer_tokens=1, forget_local=True)).local_tokens == 0


def test_an_answer_ends_where_the_model_ends_it(engine):
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    asked = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    answer = engine.answer(Job(tokenizer.encode(asked).ids, answer_tokens=200))
    assert tokenizer.decode(answer.token_ids) == "The capital of France is Paris."
    assert answer.token_ids[-1] == tokenizer.token_to_id("<|im_end|>")


def test_a_model_that_is_not_there_is_told_with_the_end_of_the_log(logs):
    with (
        pytest.raises(EngineError, match=r"the end of its log:\n(?s:.*)/no/such/model"),
        EngineProcess(Setup("/no/such/model"), logs / "absent.log", {}) as absent,
    ):
        absent.wait_until_up()
    assert is_gone(absent.pid)


def test_a_process_that_is_killed_is_told(logs):
    killed = EngineProcess(Setup(str(model_folder())), logs / "killed.log", {})
    os.kill(killed.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="vLLM ended before it answered"):
        killed.answer(Job(PROMPT, answer_tokens=1))
    with pytest.raises(EngineError):
        killed.close()


def test_whatever_it_started_ends_with_it(logs):
    apart = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}  # scheduler and worker in other processes
    killed = EngineProcess(Setup(str(model_folder())), logs / "several.log", apart)
    killed.wait_until_up()
    others = psutil.Process(killed.pid).children(recursive=True)
    assert others
    os.kill(killed.pid, signal.SIGKILL)  # so that it can't end them itself
    killed.kill()
    assert psutil.wait_procs(others, timeout=60)[1] == []


def test_an_error_of_ours_ends_it_too(logs):
    starting = EngineProcess(Setup(str(model_folder())), logs / "starting.log", {})
    with pytest.raises(KeyboardInterrupt), starting:
        raise KeyboardInterrupt
    assert is_gone(starting.pid)
    starting.kill()  # again is harmless
