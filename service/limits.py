"""Token buckets: what a client may ask for in a minute, and how long it has to wait when it has had that."""

import time
from collections.abc import Callable


class Bucket:
    """Fills steadily and holds one minute's worth. It may be overdrawn by what is known only after the work.

    Parameters
    ----------
    per_minute : float
        What flows in, and the most that it holds.
    """

    def __init__(self, *, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._level = per_minute
        self._at = clock()

    def seconds_until(self, amount: float) -> float:
        """How long until it holds so much: 0 if it does."""
        self._fill()
        return max(0.0, 60 * (amount - self._level) / self.per_minute)

    def take(self, amount: float) -> None:
        """Take so much, whether it is there or not."""
        self._fill()
        self._level -= amount

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self.per_minute, self._level + (now - self._at) * self.per_minute / 60)
        self._at = now
