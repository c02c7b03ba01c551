"""Describes a run of chunks, for which the default policy keeps statistics and from which it evicts."""

from __future__ import annotations

_MOST_TURNS = 6
KINDS = _MOST_TURNS * 4


class Run:
    """Neighbouring chunks of a request that have been requested equally often.

    A request replaces each run that it touches, or the part that it touches, by a new run. All
    chunks of a run therefore have the same age, and the same chance to be requested again.
    """

    __slots__ = (
        "age",
        "chunks",
        "evicted_at",
        "following",
        "ghosts",
        "idle",
        "is_frequent",
        "kind",
        "queue",
        "turn",
        "used_at",
        "uses",
    )

    def __init__(
        self, turn: int, uses: int, used_at: float, *, is_last: bool, is_frequent: bool = False
    ) -> None:
        self.turn = turn
        """Runs that preceded it in the request that first had it: the turn of a conversation."""
        self.uses = uses
        """Requests that had it."""
        self.is_frequent = is_frequent
        """Whether ARC has it in its frequency list, see :mod:`kvtransfer.policies.arc_lists`."""
        turns = min(turn + uses, _MOST_TURNS) - 1
        self.kind = 4 * turns + 2 * (uses > 1) + is_last
        """The class that it is counted in: turns so far, used before, last of its request."""
        self.queue = 2 * self.kind + is_frequent
        """The eviction queue of its kind and list, see :mod:`kvtransfer.policies.run_queues`."""
        self.evicted_at = 0
        """How many chunks its ARC list had evicted when it evicted one of these."""
        self.used_at = used_at
        """The clock at its last request."""
        self.age = 0
        """The age bucket, see :mod:`kvtransfer.policies.gittins`."""
        self.chunks = 0
        """How many chunks the run has, in slots and as ghosts."""
        self.idle: list[int] = []
        """Slots of its chunks that are not pinned, in the order of their tokens."""
        self.ghosts: dict[str, int] = {}
        """The depth of each chunk that has no slot, by key."""
        self.following: Run | None = None
        """The run behind it in its request."""

    def end(self) -> Run:
        """Return the last of the runs that follow this one and can be evicted.

        A chunk is useless without its prefix, so a request is evicted from its end.
        """
        run = self
        while run.following is not None and run.following.idle:
            run = run.following
        return run
