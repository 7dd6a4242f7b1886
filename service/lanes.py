"""Who is served next: single clips before those of batches, three times of four, and a shadow's when nobody else waits.

A lane is served in the order in which its items came; one that has been served in part goes to the lane's end. So a
batch of hundreds, or an hour of audio, slows a single clip down by a bounded share and never stops it, nor the other
way round.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, Literal, TypeVar

Lane = Literal["single", "bulk", "shadow"]  # a clip of its own, one of a batch, one that nobody waits for

LANES: tuple[Lane, ...] = ("single", "bulk", "shadow")
_BULK_EVERY = 4  # of so many turns, one is a batch's, if both wait
BULK_SHARE = 1 / _BULK_EVERY

T = TypeVar("T")


class Lanes(Generic[T]):
    """What waits. For callers that hold a lock of their own."""

    def __init__(self) -> None:
        self._waiting: dict[Lane, deque[T]] = {lane: deque() for lane in LANES}
        self._turn = 0

    def __iter__(self) -> Iterator[T]:
        """Everything that waits."""
        for waiting in self._waiting.values():
            yield from waiting

    def put(self, lane: Lane, item: T) -> None:
        """Add to the end of a lane."""
        self._waiting[lane].append(item)

    def head(self, lane: Lane) -> T | None:
        """The first of a lane, which stays there."""
        return self._waiting[lane][0] if self._waiting[lane] else None

    def pop(self, lane: Lane) -> T:
        """Take the first of a lane out."""
        return self._waiting[lane].popleft()

    def discard(self, lane: Lane, item: T) -> None:
        """Take an item out, if it is there."""
        if item in self._waiting[lane]:
            self._waiting[lane].remove(item)

    def next(self, may: Callable[[Lane], bool]) -> Lane | None:
        """The lane to serve now, of those that wait and `may` be served; its turn is counted."""
        ready = [lane for lane in LANES if self._waiting[lane] and may(lane)]
        if "single" in ready and "bulk" in ready:
            self._turn += 1
            return "bulk" if self._turn % _BULK_EVERY == 0 else "single"
        return ready[0] if ready else None
