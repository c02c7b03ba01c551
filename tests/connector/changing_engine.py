"""An engine whose weights, adapter and connectors change, and what it must answer after each."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.connector.engine_process import Request, Setup
from tests.connector.inputs import connected
from tests.connector.tiny_adapter import OPTIONS as LORA
from tests.connector.tiny_adapter import write_adapter

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.connector.engine_process import Outcome
    from tests.connector.engines import Engine, Engines

ADAPTERS = 3
SENDING = {
    "kv_connector": "SendingConnector",
    "kv_connector_module_path": "tests.connector.sending_connector",
    "kv_role": "kv_both",
    "kv_connector_extra_config": {"loads": False},
}


class Identity(NamedTuple):
    """What decides an answer beside the prompt."""

    weights: str
    adapter: int | None
    """Seed of its content; None: the engine has no adapters."""


class Answers:
    """What vLLM answers without connector and prefix cache; owns the engines that say it."""

    def __init__(self, engines: Engines, models: Mapping[str, str], folder: Path) -> None:
        self._engines = engines
        self._models = models
        self._folder = folder
        folder.mkdir()
        self._running: dict[tuple[str, bool], Engine] = {}
        self._known: dict[tuple[Identity, tuple[int, ...]], list[int]] = {}

    def of(self, identity: Identity, prompt_ids: list[int]) -> list[int]:
        """The answer of that identity."""
        key = identity, tuple(prompt_ids)
        if key not in self._known:
            request = Request(prompt_ids, adapter=self._adapter(identity.adapter))
            (self._known[key],) = self._engine(identity).generate(request).answers
        return self._known[key]

    def close(self) -> None:
        """End them."""
        for engine in self._running.values():
            engine.kill()

    def _engine(self, identity: Identity) -> Engine:
        key = identity.weights, identity.adapter is not None
        if key not in self._running:
            options = {"enable_prefix_caching": False, **(LORA if key[1] else {})}
            self._running[key] = self._engines.start(Setup(self._models[key[0]], options=options))
        return self._running[key]

    def _adapter(self, seed: int | None) -> dict[str, Any] | None:
        if seed is None:
            return None
        path = write_adapter(self._folder / f"adapter-{seed}", seed=seed)
        return {"lora_name": f"adapter-{seed}", "lora_int_id": seed + 1, "lora_path": str(path)}


class ChangingEngine:
    """One engine; ``identity`` is what it answers as."""

    def __init__(self, engines: Engines, models: Mapping[str, str], folder: Path, url: str) -> None:
        self._engines = engines
        self._models = models
        self._folder = folder
        folder.mkdir()
        self._url = url
        self.identity = Identity("a", None)
        self._adapter: dict[str, Any] | None = None
        self._neighbour_first: bool | None = None
        self._engine = self._start()

    def begin(self, prompts: list[list[int]], steps: int) -> None:
        """Have it under way when it changes; what comes of these may be of both."""
        self._engine.submit(*self._requests(prompts))
        for _ in range(steps):
            self._engine.step()

    def answer(self, prompts: list[list[int]]) -> Outcome:
        """Answer them now, with whatever it is."""
        return self._engine.generate(*self._requests(prompts))

    def reset(self, **what: bool) -> bool:
        """Empty vLLM's prefix cache; False when blocks of it are in use."""
        return self._engine.reset(**what)

    def finish(self) -> None:
        """What is under way ends, and vLLM forgets what it was."""
        self._engine.run()
        assert self._engine.reset(), "blocks were lost"

    def reload(self, weights: str) -> None:
        """Replace its weights in place, as a trainer does."""
        self._engine.call("reload_weights", weights_path=self._models[weights])
        self.identity = self.identity._replace(weights=weights)

    def replace_adapter(self, seed: int) -> None:
        """Write over the folder of its adapter, and have vLLM load it in place."""
        self._write_adapter(seed)
        self._engine.add_adapter({**self._named(), "load_inplace": True})

    def rename_adapter(self, seed: int) -> None:
        """Remove its adapter, and load what the folder holds now under another number."""
        self._engine.remove_adapter(self._named()["lora_int_id"])
        self._write_adapter(seed)
        self._named()["lora_int_id"] += 1

    def sleep(self, level: int) -> None:
        """Sleep and wake up; level 1 loses what its caches held, where vLLM can tell us of it."""
        self._engine.sleep(level)
        if level and self._neighbour_first is None:  # MultiConnector passes that on from 0.33 on
            self._engine.lose_caches()
        self._engine.wake_up()

    def become(self, identity: Identity, *, neighbour_first: bool | None) -> None:
        """End in good order and come up as something else, beside another connector or not."""
        with suppress(AssertionError):
            self._engine.close()
        self.identity, self._neighbour_first = identity, neighbour_first
        self.restart()

    def restart(self) -> None:
        """Be killed at whatever it is doing, and come up again."""
        self.kill()
        self._engine = self._start()

    def kill(self) -> None:
        """End at once."""
        self._engine.kill()

    @property
    def has_adapters(self) -> bool:
        return self.identity.adapter is not None

    def _start(self) -> Engine:
        self._adapter = None
        if self.identity.adapter is not None:
            self._adapter = {"lora_name": "own", "lora_int_id": 1}
            self._write_adapter(self.identity.adapter)
        setup = connected(self._models[self.identity.weights], self._url)
        if self._neighbour_first is not None:
            ours = setup.transfer
            both = [SENDING, ours] if self._neighbour_first else [ours, SENDING]
            multi = {"kv_connector": "MultiConnector", "kv_role": "kv_both"}
            multi |= {"kv_load_failure_policy": "recompute"}
            setup = Setup(setup.model, {**multi, "kv_connector_extra_config": {"connectors": both}})
        options = LORA if self.has_adapters else {}
        return self._engines.start(Setup(setup.model, setup.transfer, options))

    def _requests(self, prompts: list[list[int]]) -> list[Request]:
        return [Request(prompt_ids, adapter=self._adapter) for prompt_ids in prompts]

    def _write_adapter(self, seed: int) -> None:
        path = write_adapter(self._folder / "adapter", seed=seed)
        self._named()["lora_path"] = str(path)
        self.identity = self.identity._replace(adapter=seed)

    def _named(self) -> dict[str, Any]:
        assert self._adapter is not None
        return self._adapter


def _replaced(engine: ChangingEngine, chance: random.Random) -> None:
    """New weights, or where it has adapters, a new one."""
    if engine.has_adapters:
        engine.replace_adapter(chance.randrange(ADAPTERS))
    else:
        engine.reload(chance.choice("ab"))


def _weights_or_adapter_replaced(engine: ChangingEngine, chance: random.Random) -> None:
    _replaced(engine, chance)
    engine.finish()


def _replaced_twice(engine: ChangingEngine, chance: random.Random) -> None:
    _replaced(engine, chance)
    engine.begin([], steps=chance.randrange(4))
    _replaced(engine, chance)
    engine.finish()


def _adapter_renamed(engine: ChangingEngine, chance: random.Random) -> None:
    engine.finish()
    if engine.has_adapters:
        engine.rename_adapter(chance.randrange(ADAPTERS))


def _reset(engine: ChangingEngine, chance: random.Random) -> None:
    engine.reset()
    engine.finish()


def _connector_reset(engine: ChangingEngine, chance: random.Random) -> None:
    engine.reset(connector=True)
    engine.finish()


def _slept(engine: ChangingEngine, chance: random.Random) -> None:
    engine.finish()
    engine.sleep(chance.choice((0, 1)))


def _paused(engine: ChangingEngine, chance: random.Random) -> None:
    """While requests run, which are dropped by it."""
    engine.sleep(0)
    engine.finish()


def _became_another(engine: ChangingEngine, chance: random.Random) -> None:
    adapter = chance.choice((None, *range(ADAPTERS)))
    identity = Identity("a" if adapter is not None else chance.choice("ab"), adapter)
    engine.become(identity, neighbour_first=chance.choice((None, False, True)))


def _killed(engine: ChangingEngine, chance: random.Random) -> None:
    engine.restart()


CHANGES: dict[str, Callable[[ChangingEngine, random.Random], None]] = {
    "weights or adapter replaced": _weights_or_adapter_replaced,
    "replaced twice": _replaced_twice,
    "adapter under another number": _adapter_renamed,
    "prefix cache reset": _reset,
    "connector reset": _connector_reset,
    "slept": _slept,
    "paused": _paused,
    "shut down, came back as another": _became_another,
    "killed": _killed,
}
