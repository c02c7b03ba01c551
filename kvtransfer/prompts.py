"""Orders the passages of a prompt so that prompts share their beginnings. For clients."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Passage(Protocol):
    """Names a passage, or is its text: hashable, and comparable with others by ``<``."""

    def __hash__(self) -> int:
        """See ``object.__hash__``."""

    def __lt__(self, other: Any, /) -> bool:  # noqa: ANN401 - as texts and numbers have it
        """The order of passages that nothing else tells apart."""


P = TypeVar("P", bound=Passage)


def arrange(
    passages: Sequence[P],
    known: Iterable[Sequence[P]] = (),
    *,
    length: Callable[[P], float] | None = None,
) -> list[P]:
    """Put ``passages`` into the order in which most of a prompt's KV is reused as it is.

    KV is reused exactly where a prompt begins like one before. So the order begins as that one of
    ``known`` does whose beginning has only passages of this prompt, for the longest stretch; of
    equal ones, the latest. The rest follows with what is used most in ``known`` first, and
    otherwise by ``<``, so that prompts to come share as much as they can.

    The KV that is reused is exactly the prompt's. The model does read the passages in this order:
    where the order carries meaning, such as relevance, keep it.

    ```python
    seen = deque(maxlen=1000)
    order = arrange(["weather", "rules", "prices"], seen)
    seen.append(order)
    prompt = "".join([system, *(texts[name] for name in order), question])
    ```

    Args:
        passages: the passages of one prompt, by name or text. One that is given twice stays twice.
        known: the orders of prompts before, oldest first. It is read once.
        length: how long a passage is, such as its number of tokens; by default all are equal.

    Returns:
        All of ``passages``, in their new order. Equal arguments give equal orders in any process.
    """
    measured = length or _one
    seen: Counter[P] = Counter()
    best: Sequence[P] = ()
    best_length = 0.0
    for order in known:
        seen.update(order)
        shared = _shared_prefix(order, passages)
        shared_length = sum(map(measured, shared))
        if shared and shared_length >= best_length:
            best, best_length = shared, shared_length
    rest = Counter(passages) - Counter(best)
    return [*best, *sorted(rest.elements(), key=lambda passage: (-seen[passage], passage))]


def _shared_prefix(order: Sequence[P], passages: Sequence[P]) -> Sequence[P]:
    """The beginning of ``order`` that has only passages of the prompt."""
    left = Counter(passages)
    for count, passage in enumerate(order):
        if left[passage] == 0:
            return order[:count]
        left[passage] -= 1
    return order


def _one(_: object) -> float:
    return 1
