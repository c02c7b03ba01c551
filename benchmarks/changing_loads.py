"""Makes synthetic loads that change: each phase requests other texts again.

Each load is a list of requests, and a request a list of chunk names, equal for equal prefixes. A
load consists of phases of equal length, so that the requests after a change can be looked at.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The statistics of a load's texts; lengths are medians, in chunks."""

    phase_requests: int = 1500
    prompt_chunks: float = 8.0
    turn_chunks: float = 2.0
    spread: float = 0.7
    """Standard deviation of the logarithm of lengths and pauses."""
    pause_requests: float = 60.0
    """Median number of requests until a text is requested again."""
    goes_on: float = 0.8
    """Probability that a chat has one more turn."""
    documents: int = 300
    zipf: float = 1.0
    system_chunks: int = 1


class Author:
    """Writes texts of ``shape``, which share no chunk but those of the system prompt."""

    def __init__(self, shape, seed):
        self.shape, self.random = shape, random.Random(seed)
        self._names = itertools.count()
        self.system = self.fresh(shape.system_chunks)

    def fresh(self, chunks):
        """New chunks."""
        return [str(next(self._names)) for _ in range(chunks)]

    def around(self, median):
        """A length or a pause near ``median``, at least 1."""
        return max(1, round(median * self.random.lognormvariate(0.0, self.shape.spread)))

    def text(self):
        """Make a new prompt."""
        return self.system + self.fresh(self.around(self.shape.prompt_chunks))


def singles(author):
    """Texts that are requested once."""
    while True:
        yield author.text()


def repeats(author, times=2):
    """Texts that are requested ``times`` times, each time with a new last chunk."""
    return _returning(author, author.text, lambda text, come: text if come < times else None)


def chats(author):
    """Conversations: each request appends an answer and a question to the one before it."""

    def grown(text, _):
        ends = author.random.random() > author.shape.goes_on
        return None if ends else text + author.fresh(author.around(author.shape.turn_chunks))

    return _returning(author, author.text, grown)


def questions(author, documents=None):
    """Questions on documents, whose popularity follows Zipf's law."""
    documents = documents or [author.text() for _ in range(author.shape.documents)]
    weights = [rank**-author.shape.zipf for rank in range(1, len(documents) + 1)]
    while True:
        (document,) = author.random.choices(documents, weights)
        yield document + author.fresh(1)


def rounds(author, texts):
    """All ``texts`` in rounds, shuffled for each round."""
    while True:
        for text in author.random.sample(texts, len(texts)):
            yield text + author.fresh(1)


def mixed(author, share, some, others):
    """``share`` of the requests from ``some``, the rest from ``others``."""
    for number in itertools.count():
        chance = share(number) if callable(share) else share
        yield next(some if author.random.random() < chance else others)


def swap(author):
    """Chats among single texts; then no chats, and each text is requested twice; then as before."""
    long = mixed(author, 0.7, chats(author), singles(author))
    return [long, repeats(author), mixed(author, 0.7, chats(author), singles(author))]


def retrieval(author):
    """Chats, then questions on retrieved texts, then chats."""
    few = questions(author)
    return [chats(author), mixed(author, 0.15, few, singles(author)), chats(author)]


def jumps(author):
    """A working set that is replaced as a whole in each phase."""
    sets = [[author.text() for _ in range(round(author.shape.pause_requests))] for _ in range(4)]
    return [mixed(author, 0.8, rounds(author, texts), singles(author)) for texts in sets]


def scans(author):
    """Questions on documents and chats, in turns with scans of single texts."""
    asked = mixed(author, 0.7, questions(author), chats(author))
    return [asked, singles(author), asked, singles(author), asked]


def popularity(author):
    """Questions on documents whose popularity is shuffled in each phase."""
    documents = [author.text() for _ in range(author.shape.documents)]
    phases = []
    for _ in range(4):
        phases.append(mixed(author, 0.8, questions(author, documents[:]), singles(author)))
        author.random.shuffle(documents)
    return phases


def diurnal(author):
    """Chats by day, repeated texts by night, with a gradual change between them."""

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
    """The requests of the load ``name``, in the order of its phases."""
    author = Author(shape or Shape(), seed)
    requests = author.shape.phase_requests
    return [
        request for phase in CHANGES[name](author) for request in itertools.islice(phase, requests)
    ]


def _returning(author, new, again):
    """New texts, and after a pause what ``again`` returns for each of them, until that is None."""
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
