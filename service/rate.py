"""How fast work has been done lately: what to tell whoever has to wait."""

import math
import time
from collections.abc import Callable

_MEMORY_SECONDS = 15.0  # of time at work; what is older counts for less than a third


class Rate:
    """Work done a second, over the time in which there was work.

    Of an idle service it says what it did when it was last busy.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._amount = self._seconds = 0.0  # of work, and of time at it; both fade alike
        self._working = False
        self._at = clock()

    @property
    def per_second(self) -> float | None:
        """None while too little is known: under a second of work."""
        self._advance()
        return self._amount / self._seconds if self._seconds >= 1 and self._amount > 0 else None

    def working(self, working: bool) -> None:
        """Whether there is work from now on."""
        self._advance()
        self._working = working

    def done(self, amount: float) -> None:
        """Count work done."""
        self._advance()
        self._amount += amount

    def _advance(self) -> None:
        now = self._clock()
        if self._working:
            fade = math.exp((self._at - now) / _MEMORY_SECONDS)
            self._amount *= fade
            self._seconds = self._seconds * fade + now - self._at
        self._at = now
