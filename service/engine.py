"""The bounded queue in front of the detectors: admission, and calls shared by whoever waits.

A few threads make the calls: while one gathers clips or answers, another keeps the cores busy. Each takes what waits
for the same detector in one call, up to a few clips, and never waits for more: alone, a clip is scored at once; under
load, calls grow by themselves.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Thread

from model_store.detector import Detector, Prepared, Score
from service.problems import ProblemError
from service.telemetry import Telemetry

_CALL_CLIPS = 4  # in one call: more gain nothing, and would leave the other threads without work


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores, and what the call took."""

    scores: list[Score]
    infer_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    detector: Detector
    clips: Sequence[Prepared]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Scored]


class Engine:
    """Scores for coroutines, from threads of its own between `start` and `stop`."""

    def __init__(self, telemetry: Telemetry, *, max_clips: int, threads: int) -> None:
        self._telemetry = telemetry
        self._max_clips = max_clips
        self._admitted = 0
        self._jobs: deque[_Job] = deque()
        self._changed = Condition()
        self._running = False
        self._threads = [Thread(target=self._work, name=f"engine-{n}", daemon=True) for n in range(threads)]

    def start(self) -> None:
        """Begin to take work."""
        self._running = True
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what waits, then end."""
        with self._changed:
            self._running = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A clip's place, from before it is decoded until it is done with. For the thread of the event loop.

        Raises
        ------
        ProblemError
            ``overloaded``, at once, if there is none.
        """
        if self._admitted >= self._max_clips:
            raise ProblemError(
                "overloaded",
                f"At most {self._max_clips} clips are in work or wait. Received: one more.",
                headers={"Retry-After": "1"},
            )
        self._count(+1)
        try:
            yield
        finally:
            self._count(-1)

    async def score(self, detector: Detector, clips: Sequence[Prepared]) -> Scored:
        """Score clips together. Cancelled, as by a deadline, what still waits is dropped unscored."""
        loop = asyncio.get_running_loop()
        job = _Job(detector, clips, loop, loop.create_future())
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        return await job.future

    def _work(self) -> None:
        while jobs := self._take():
            self._call(jobs)
            del jobs  # waiting for the next ones, hold no audio

    def _take(self) -> list[_Job]:
        """The next call's jobs; none when no more work will come."""
        with self._changed:
            while True:
                while self._jobs and self._jobs[0].future.cancelled():
                    self._jobs.popleft()
                if self._jobs:
                    break
                if not self._running:
                    return []
                self._changed.wait()
            first = self._jobs.popleft()
            taken, room = [first], _CALL_CLIPS - len(first.clips)
            while self._jobs and self._jobs[0].detector is first.detector and len(self._jobs[0].clips) <= room:
                job = self._jobs.popleft()
                if not job.future.cancelled():
                    taken.append(job)
                    room -= len(job.clips)
            return taken

    def _call(self, jobs: list[_Job]) -> None:
        begun = time.perf_counter()
        clips = [clip for job in jobs for clip in job.clips]
        try:
            scores = iter(jobs[0].detector.score_prepared(clips))
        except Exception as error:
            for job in jobs:
                job.loop.call_soon_threadsafe(_fail, job.future, error)
            return
        seconds = time.perf_counter() - begun
        self._telemetry.stages.labels("infer").observe(seconds)
        self._telemetry.batch.observe(len(clips))
        for job in jobs:
            scored = Scored([next(scores) for _ in job.clips], seconds)
            job.loop.call_soon_threadsafe(_resolve, job.future, scored)

    def _count(self, change: int) -> None:
        self._admitted += change
        self._telemetry.waiting.set(self._admitted)


def _resolve(future: asyncio.Future[Scored], scored: Scored) -> None:
    if not future.done():
        future.set_result(scored)


def _fail(future: asyncio.Future[Scored], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
