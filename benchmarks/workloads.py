"""Makes a load of chats and questions on documents, to see if a policy is tuned to one trace."""

from __future__ import annotations

import heapq
import itertools
import random

_SYSTEM_CHUNKS = 2
_DOCUMENTS = 1500


def chats_and_documents(requests=8000, seed=7):
    """Chains of chunk ids, in the order of arrival: half begins of chats, half single questions.

    Documents are asked about by Zipf's law, each under one of four system prompts. A chat goes on
    with a chance that grows with its turns, after a pause with a long tail.
    """
    random_ = random.Random(seed)
    names = itertools.count()
    systems = [[next(names) for _ in range(_SYSTEM_CHUNKS)] for _ in range(4)]
    documents = [
        [next(names) for _ in range(random_.randint(4, 40))] for _ in range(4 * _DOCUMENTS)
    ]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, _DOCUMENTS + 1)))
    coming = [(random_.uniform(0, requests / 5), n, []) for n in range(requests // 2)]
    heapq.heapify(coming)
    made = []
    while coming and len(made) < requests:
        at_s, number, chain = heapq.heappop(coming)
        system = number % 4
        if number % 2 and not chain:
            rank = random_.choices(range(_DOCUMENTS), cum_weights=weights)[0]
            document = documents[system * _DOCUMENTS + rank]
            made.append([*systems[system], *document, next(names)])
            continue
        turns = len(chain) and chain[-1][1]
        ids = [id_ for id_, _ in chain] or list(systems[system])
        new = random_.randint(1, 4) if turns else int(random_.lognormvariate(2.2, 0.9)) + 1
        ids += [next(names) for _ in range(new)]
        made.append([*ids, next(names)])
        if random_.random() < 0.35 + 0.08 * min(turns, 6):
            pause_s = random_.lognormvariate(4.6, 0.9)
            grown = [(id_, turns + 1) for id_ in ids]
            heapq.heappush(coming, (at_s + pause_s, number, grown))
    return made
