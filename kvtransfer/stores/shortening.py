"""Judges whether chunks travel sooner if they are made shorter first. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

# A dozen observations later, one counts for a third: a line that changes is soon noticed.
_MEMORY = 0.92
# The way that isn't in use has to take less than this share of the time of the other.
_HYSTERESIS = 0.9
_TRIALS = 2


@dataclass
class Rate:
    """How much of something there was for each byte, lately."""

    _amount: float = 0.0
    _bytes: float = 0.0

    def observe(self, nbytes: int, amount: float) -> None:
        """See ``amount`` for ``nbytes``."""
        self._amount = self._amount * _MEMORY + amount
        self._bytes = self._bytes * _MEMORY + nbytes

    @property
    def known(self) -> float | None:
        """The amount for a byte; None before the first observation."""
        return self._amount / self._bytes if self._bytes else None


@dataclass
class Shortening:
    """Compares the time that chunks take on a line as they are with what they take if made shorter.

    A chunk is made shorter only where that is predicted to be sooner both ways: on a put, which
    includes encoding, and on a fetch, which includes decoding.
    """

    put_s: Rate = field(default_factory=Rate)
    """Seconds of puts by the bytes that travel."""
    fetch_s: Rate = field(default_factory=Rate)
    """Seconds of fetches by the bytes that travel."""
    encode_s: Rate = field(default_factory=Rate)
    """Processor seconds by the bytes of chunks."""
    decode_s: Rate = field(default_factory=Rate)
    """Processor seconds by the bytes of chunks."""
    share: Rate = field(default_factory=Rate)
    """What is left of chunks that are made shorter, by their bytes."""
    is_worth: bool = False
    trials: int = 0
    """How many chunks were made shorter only to see what that takes."""

    def take_trial(self) -> bool:
        """Whether to make the next chunk shorter, whatever that takes: true twice."""
        is_taken = self.trials < _TRIALS
        self.trials += is_taken
        return is_taken

    def decide(self) -> bool:
        """Whether to make the next chunk shorter; what has been in use is slow to change."""
        relative = self.relative_time()
        if relative is not None:
            self.is_worth = relative < (1 / _HYSTERESIS if self.is_worth else _HYSTERESIS)
        return self.is_worth

    def relative_time(self) -> float | None:
        """The time of a shorter chunk over that of one as it is, the worse of both ways.

        None while too little is known. A line of which one way was not seen is taken for equally
        fast both ways.
        """
        share, put_s, fetch_s = self.share.known, self.put_s.known, self.fetch_s.known
        put_s, fetch_s = put_s or fetch_s, fetch_s or put_s
        if share is None or put_s is None or fetch_s is None:
            return None
        encode_s, decode_s = self.encode_s.known or 0.0, self.decode_s.known or 0.0
        return share + max(encode_s / put_s, decode_s / fetch_s)
