"""Names a request's images, videos and sounds by their content.

vLLM names a medium by a hash of its content or by a name that the caller gave, and we can't tell
which. A thread of our own therefore hashes the data that the model is given.
"""

from __future__ import annotations

import logging
import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from kvtransfer.connector.vllm.keys.content import content_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future

    from vllm.config import VllmConfig
    from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange

_LOG = logging.getLogger("kvtransfer")

_LEAST_REMEMBERED = 1 << 16
# With more than these we cache no media any more, since we would have to remember them for ever.
_MOST_AMBIGUOUS = 1 << 18


class Medium(NamedTuple):
    """One medium of a prompt, under a name that tells its content."""

    identifier: str
    mm_position: PlaceholderRange


class Media:
    """Finds out the contents of media; only the scheduler's thread may call it.

    vLLM's own caches look media up by identifier. An identifier that was seen with two contents is
    *ambiguous*: those caches may hold either, so requests with it are not cached any more.
    """

    @classmethod
    def open(cls, vllm_config: VllmConfig, *, trust_uuids: bool) -> Media:
        """Return an instance for vLLM as configured."""
        multimodal = getattr(vllm_config.model_config, "multimodal_config", None)
        is_shared = getattr(multimodal, "mm_processor_cache_type", None) == "shm"
        has_others = getattr(vllm_config, "ec_transfer_config", None) is not None
        # Then the data are in shared memory, or with another instance.
        can_see = not (is_shared or has_others)
        blocks = vllm_config.cache_config.num_gpu_blocks or 0
        return cls(trust_uuids=trust_uuids, can_see=can_see, remembered=blocks)

    def __init__(self, *, trust_uuids: bool, can_see: bool, remembered: int = 0) -> None:
        self._trusts = trust_uuids
        self._can_see = can_see
        # vLLM's prefix cache has a block for each medium that it remembers, so this many are enough.
        self._remembered = max(_LEAST_REMEMBERED, remembered)
        self._contents: OrderedDict[str, str] = OrderedDict()
        self._ambiguous: set[str] = set()
        self._digests: dict[int, tuple[weakref.ref[Any], str]] = {}
        self._thread: ThreadPoolExecutor | None = None

    def begin(self, features: Sequence[MultiModalFeatureSpec]) -> Future[list[str]] | None:
        """Begin to hash the contents; None: there is nothing to hash, or the data are not here."""
        if self._trusts or not self._can_see or not features:
            return None
        self._thread = self._thread or ThreadPoolExecutor(1, "kvtransfer-media")
        return self._thread.submit(self._hash, [(f.data, f.mm_position) for f in features])

    def name(
        self,
        features: Sequence[MultiModalFeatureSpec],
        contents: Future[list[str]] | None,
        adapter: str | None,
    ) -> list[Medium] | None:
        """Return a request's media under names that tell their contents; None: they can't be told.

        Args:
            features: the request's media as vLLM has them.
            contents: what ``begin`` returned for them, which must be done.
            adapter: the digest of the LoRA adapter, which may change what the encoder makes of them.
        """
        if self._trusts or not features:
            return [Medium(f.identifier, f.mm_position) for f in features]
        if contents is None or contents.exception() is not None:
            self.forsake(features)
            return None
        named = list(zip(features, contents.result(), strict=True))
        for feature, content in named:
            has_prefix = feature.identifier != feature.mm_hash
            self._remember(feature.identifier, f"{content} {adapter if has_prefix else ''}")
        if self.are_ambiguous(features):
            return None
        return [Medium(content, feature.mm_position) for feature, content in named]

    def are_ambiguous(self, features: Sequence[MultiModalFeatureSpec]) -> bool:
        """Say whether vLLM's caches may hold another content under the identifier of one of them."""
        if self._trusts or not features:
            return False
        return not self._can_see or any(f.identifier in self._ambiguous for f in features)

    def forsake(self, features: Sequence[MultiModalFeatureSpec]) -> None:
        """Treat their identifiers as ambiguous from now on, since their contents were not hashed."""
        if self._can_see and not self._trusts:
            self._note_ambiguous(f.identifier for f in features)

    @property
    def ambiguous(self) -> int:
        """How many identifiers are ambiguous; the number only grows."""
        return len(self._ambiguous)

    def close(self) -> None:
        """End the thread that hashes."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def _remember(self, identifier: str, content: str) -> None:
        if self._contents.setdefault(identifier, content) != content:
            self._note_ambiguous([identifier])
        self._contents.move_to_end(identifier)
        if len(self._contents) > self._remembered:
            self._contents.popitem(last=False)

    def _note_ambiguous(self, identifiers: Iterable[str]) -> None:
        self._ambiguous.update(identifiers)
        if len(self._ambiguous) > _MOST_AMBIGUOUS:
            _LOG.warning("too many media came under names that stand for others: none is cached")
            self._can_see = False

    def _hash(self, media: list[tuple[Any, PlaceholderRange]]) -> list[str]:
        """Hash on our thread; vLLM's cache gives later requests the same object for equal media."""
        return [
            content_digest({"data": self._digest(data), "places": position.is_embed})
            for data, position in media
        ]

    def _digest(self, data: Any) -> str:
        if data is None:
            raise TypeError("its data are not at hand")
        known = self._digests.get(id(data))
        if known is not None and known[0]() is data:
            return known[1]
        digest = content_digest(data.get_data())
        number = id(data)
        reference = weakref.ref(data, lambda _: self._digests.pop(number, None))
        self._digests[number] = (reference, digest)
        return digest
