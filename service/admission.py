"""Who may come in: places for clips, bounded by their number and by the seconds of audio in them.

A clip has a place from its arrival until nobody works on it any more, whether its caller still waits or not: what has
been begun cannot be stopped, and counts. A single clip is refused at once when there is no place, or when what waits
before it would take longer than half of its deadline at the rate that was measured lately: the other half is for what a
rate cannot know. The clips of batches have a half of the places at most, and wait for them.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from types import TracebackType
from typing import Self

from service.lanes import BULK_SHARE, Lane
from service.problems import ProblemError
from service.rate import Rate
from service.telemetry import Telemetry

_BULK_PLACES = 0.5  # of all, in number and in seconds
_BYTES_PER_SECOND = 32_000  # of audio that has not been decoded yet: between those of coded and those of plain audio
_LONGEST_WAIT = 0.5  # of a deadline
_LONGEST_RETRY_SECONDS = 30


class Place:
    """A clip's place: of whoever asked for it, and of each thread that works on the clip; free when of none."""

    def __init__(self, admission: "Admission", lane: Lane, seconds: float) -> None:
        self.lane = lane
        self.seconds = seconds  # of audio: estimated, until it is decoded
        self.decoded = self.scored = False
        self.owned = True
        self.working = 0
        self._admission = admission

    def begin(self) -> None:
        """A thread begins to work on the clip."""
        self._admission.change(self, working=+1)

    def end(self) -> None:
        """A thread has done what it began."""
        self._admission.change(self, working=-1)

    def lasts(self, seconds: float) -> None:
        """Put what was decoded in the place of the estimate."""
        self._admission.change(self, seconds=seconds)

    def leave(self) -> None:
        """Nobody waits for the clip any more."""
        self._admission.change(self, left=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.leave()


class Admission:
    """The places. `place`, `bulk_place` and `batch` are for the thread of the event loop; the rest for any.

    Parameters
    ----------
    max_clips, max_seconds
        Of all places together. A clip of more seconds than that has its place if it is alone.
    max_batches : batches in work
    deadline_seconds : how long a clip may take
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        max_clips: int,
        max_seconds: float,
        max_batches: int,
        deadline_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_clips, self._max_seconds, self._max_batches = max_clips, max_seconds, max_batches
        self._longest_wait = _LONGEST_WAIT * deadline_seconds
        self.rule = (
            f"At most {max_clips} clips, or {max_seconds:g} s of audio, are in work or wait, and none for longer than "
            f"{self._longest_wait:g} s. Received: one more."
        )
        self._lock = Lock()
        self._rate = Rate(clock)
        self._clips: dict[Lane, int] = {"single": 0, "bulk": 0}
        self._seconds: dict[Lane, float] = {"single": 0.0, "bulk": 0.0}
        self._decoded: dict[Lane, float] = {"single": 0.0, "bulk": 0.0}
        self._working = 0  # threads
        self._batches = 0
        self._line = asyncio.Lock()  # the first in it waits for a place for its batch's clip, the others behind it
        self._freed = asyncio.Event()
        self._waits_in: asyncio.AbstractEventLoop | None = None
        self._show(telemetry)

    @property
    def clips(self) -> int:
        """Places taken."""
        return sum(self._clips.values())

    def place(self, size: int) -> Place:
        """A place for a single clip of so many bytes.

        Raises
        ------
        ProblemError
            ``overloaded``: there is none, or none that would be reached in time.
        """
        place = self.try_place(size)
        if place is None:
            raise self.overloaded(self.rule)
        return place

    def try_place(self, size: int) -> Place | None:
        """The same; None where there is none."""
        seconds = self._estimate(size)
        with self._lock:
            if self._has_room("single", seconds) and self._wait() <= self._longest_wait:
                return self._take("single", seconds)
        return None

    async def bulk_place(self, size: int) -> Place:
        """A place for a batch's clip of so many bytes, as soon as it is its turn."""
        seconds = self._estimate(size)
        async with self._line:
            self._waits_in = asyncio.get_running_loop()
            try:
                while True:
                    self._freed.clear()
                    with self._lock:
                        if self._has_room("bulk", seconds):
                            return self._take("bulk", seconds)
                    await self._freed.wait()
            finally:
                self._waits_in = None

    def check_batches(self) -> None:
        """Refuse a batch for which there is no place, before it is read.

        Raises
        ------
        ProblemError
            ``overloaded``
        """
        if self._batches >= self._max_batches:
            raise self.overloaded(f"At most {self._max_batches} batches are in work. Received: one more.")

    @contextmanager
    def batch(self) -> Iterator[None]:
        """A batch's place among batches. Raises as `check_batches`."""
        self.check_batches()
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1

    def may_decode(self, lane: Lane) -> bool:
        """Whether what has been decoded leaves room for more: it takes a hundred times the memory that it came in."""
        if lane == "shadow":
            return True
        with self._lock:
            return self._decoded[lane] < self._max_seconds * (_BULK_PLACES if lane == "bulk" else 1.0)

    def calm(self) -> bool:
        """Whether no more than half of the places are taken: the event loop has time for more than refusals."""
        return self.clips <= self._max_clips / 2

    def idle(self) -> bool:
        """Whether next to nothing is in work: one clip, whose answer is being made."""
        return self.clips <= 1

    def retry_seconds(self) -> int:
        """When whoever is refused now may come again."""
        return min(max(1, math.ceil(self.wait_seconds())), _LONGEST_RETRY_SECONDS)

    def wait_seconds(self) -> float:
        """Until what single clips wait for now is done, at the rate that was measured; 0 if none is known."""
        with self._lock:
            return self._wait()

    def overloaded(self, rule: str) -> ProblemError:
        """The refusal."""
        return ProblemError("overloaded", rule, headers={"Retry-After": str(self.retry_seconds())})

    def change(self, place: Place, *, working: int = 0, seconds: float | None = None, left: bool = False) -> None:
        """Count a thread in or out, a length in place of its estimate, or that nobody waits. For `Place`."""
        with self._lock:
            if seconds is not None:
                self._seconds[place.lane] += seconds - place.seconds
                self._decoded[place.lane] += seconds - (place.seconds if place.decoded else 0.0)
                place.seconds, place.decoded = seconds, True
            place.working += working
            place.owned &= not left
            self._working += working
            self._rate.working(self._working > 0)
            if not place.owned and place.working == 0:
                self._free(place)

    def _estimate(self, size: int) -> float:
        return min(size / _BYTES_PER_SECOND, self._max_seconds / 2)

    def _has_room(self, lane: Lane, seconds: float) -> bool:
        if lane == "bulk":
            others = self._clips["bulk"]
            most_clips, most_seconds = max(1, int(self._max_clips * _BULK_PLACES)), self._max_seconds * _BULK_PLACES
            if others and (others >= most_clips or self._seconds["bulk"] + seconds > most_seconds):
                return False
        mine, taken = self._seconds[lane] + seconds, self.clips
        fits = mine <= self._max_seconds / 2 or sum(self._seconds.values()) + seconds <= self._max_seconds
        return taken == 0 or (taken < self._max_clips and fits)

    def _wait(self) -> float:
        """Seconds until what single clips wait for now is done, at the rate that was measured; 0 if there is none."""
        rate = self._rate.per_second
        if rate is None:
            return 0.0
        return self._seconds["single"] / (rate * (1 - BULK_SHARE if self._clips["bulk"] else 1.0))

    def _take(self, lane: Lane, seconds: float) -> Place:
        self._clips[lane] += 1
        self._seconds[lane] += seconds
        return Place(self, lane, seconds)

    def _free(self, place: Place) -> None:
        self._clips[place.lane] -= 1
        self._seconds[place.lane] -= place.seconds
        if place.decoded:
            self._decoded[place.lane] -= place.seconds
        if place.scored:
            self._rate.done(place.seconds)
        loop = self._waits_in
        if loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._freed.set)

    def _show(self, telemetry: Telemetry) -> None:
        """Have the metrics look when they are asked for: a place changes seven times for each clip."""

        def rate() -> float:
            with self._lock:
                return self._rate.per_second or 0.0

        telemetry.waiting.set_function(lambda: self.clips)
        telemetry.waiting_audio.set_function(lambda: sum(self._seconds.values()))
        telemetry.rate.set_function(rate)
