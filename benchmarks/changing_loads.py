"""Made loads that change: what came again no longer does, and what never did now comes again.

Each load is a list of requests, and a request a list of chunk names, equal for equal prefixes. A
load is made of phases; the request that begins each is known, to look at what happens there.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """What the texts of a load are like; lengths are medians, in chunks."""

    phase_requests: int = 1500
    prompt_chunks: float = 8.0
    turn_chunks: float = 2.0
    spread: float = 0.7
    """Of the logarithm of lengths and pauses."""
    pause_requests: float = 60.0
    """Until a text comes again."""
    goes_on: float = 0.8
    """The chance that a chat has one more turn."""
    documents: int = 300
    zipf: float = 1.0
    system_chunks: int = 1


class Author:
    """Writes texts of ``shape``: no chunk of one is ever in another, but for the system's."""

    def __init__(self, shape, seed):
        self.shape, self.random = shape, random.Random(seed)
        self._names = itertools.count()
        self.system = self.fresh(shape.system_chunks)

    def fresh(self, chunks):
        """Chunks that never were."""
        return [str(next(self._names)) for _ in range(chunks)]

    def around(self, median):
        """A length or a pause near ``median``, at least 1."""
        return max(1, round(median * self.random.lognormvariate(0.0, self.shape.spread)))

    def text(self):
        """A new prompt."""
        return self.system + self.fresh(self.around(self.shape.prompt_chunks))


def singles(author):
    """Texts that never come again."""
    while True:
        yield author.text()


def repeats(author, times=2):
    """Texts that come ``times`` times, as they were but for a new last chunk."""
    return _returning(author, author.text, lambda text, come: text if come < times else None)


def chats(author):
    """Texts that grow: each answer and the next question are appended, as long as it goes on."""

    def grown(text, _):
        ends = author.random.random() > author.shape.goes_on
        return None if ends else text + author.fresh(author.around(author.shape.turn_chunks))

    return _returning(author, author.text, grown)


def questions(author, documents=None):
    """On documents, some of which are asked about far more often than others."""
    documents = documents or [author.text() for _ in range(author.shape.documents)]
    weights = [rank**-author.shape.zipf for rank in range(1, len(documents) + 1)]
    while True:
        (document,) = author.random.choices(documents, weights)
        yield document + author.fresh(1)


def rounds(author, texts):
    """All of a few ``texts``, in an order that is new each time."""
    while True:
        for text in author.random.sample(texts, len(texts)):
            yield text + author.fresh(1)


def mixed(author, share, some, others):
    """``share`` of the requests from ``some``, the rest from ``others``."""
    for number in itertools.count():
        chance = share(number) if callable(share) else share
        yield next(some if author.random.random() < chance else others)


def swap(author):
    """Chats among texts that never come again; then chats end at once, and those come again."""
    long = mixed(author, 0.7, chats(author), singles(author))
    return [long, repeats(author), mixed(author, 0.7, chats(author), singles(author))]


def retrieval(author):
    """Chats, then single questions with what was retrieved for them, then chats."""
    few = questions(author)
    return [chats(author), mixed(author, 0.15, few, singles(author)), chats(author)]


def jumps(author):
    """A working set that is replaced as a whole."""
    sets = [[author.text() for _ in range(round(author.shape.pause_requests))] for _ in range(4)]
    return [mixed(author, 0.8, rounds(author, texts), singles(author)) for texts in sets]


def scans(author):
    """Questions on documents, and between them nothing but texts that never come again."""
    asked = mixed(author, 0.7, questions(author), chats(author))
    return [asked, singles(author), asked, singles(author), asked]


def popularity(author):
    """The documents that few asked about are those that many ask about now."""
    documents = [author.text() for _ in range(author.shape.documents)]
    phases = []
    for _ in range(4):
        phases.append(mixed(author, 0.8, questions(author, documents[:]), singles(author)))
        author.random.shuffle(documents)
    return phases


def diurnal(author):
    """Chats by day, single texts and repeats of them by night, with dawn and dusk between."""

    def day(number):
        return 0.5 + 0.5 * math.sin(2 * math.pi * number / (2 * author.shape.phase_requests))

    return [mixed(author, day, chats(author), repeats(author))] * 4


CHANGES = {
    "swap": swap,
    "retrieval": retrieval,
    "jumps": jumps,
    "scans": scans,
    "popularity": popularity,
    "diurnal": diurnal,
}


def changing_load(name, seed=1, shape=None):
    """The requests of the load ``name``, phase by phase."""
    author = Author(shape or Shape(), seed)
    requests = author.shape.phase_requests
    return [
        request for phase in CHANGES[name](author) for request in itertools.islice(phase, requests)
    ]


def _returning(author, new, again):
    """New texts, and what ``again`` makes of each when its pause is over, until that is None."""
    waiting = []
    order = itertools.count()
    for now in itertools.count():
        if waiting and waiting[0][0] <= now:
            _, _, text, come = heapq.heappop(waiting)
        else:
            text, come = new(), 0
        yield text + author.fresh(1)
        come += 1
        following = again(text, come)
        if following is not None:
            due = now + author.around(author.shape.pause_requests)
            heapq.heappush(waiting, (due, next(order), following, come))
