"""The bounded queue in front of the detectors: admission, deadlines, and calls shared by whoever waits.

One thread makes the calls, since a compiled call already uses the cores it is given. It takes whatever waits for
the same detector in one call and never waits for more: alone, a clip is scored at once; under load, calls
grow by themselves.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Condition, Thread

from model_store.detector import Detector, Prepared, Score
from service.problems import ProblemError
from service.telemetry import Telemetry

_CALL_CLIPS = 32


@dataclass(slots=True)
class _Job:
    detector: Detector
    clips: Sequence[Prepared]
    deadline: float  # on time.monotonic's clock
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Scored]"
    queued: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores, and what they took."""

    scores: list[Score]
    queue_seconds: float
    infer_seconds: float


class Engine:
    """Scores for coroutines, from a thread of its own between `start` and `stop`."""

    def __init__(self, telemetry: Telemetry, *, max_clips: int) -> None:
        self._telemetry = telemetry
        self._max_clips = max_clips
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._changed = Condition()
        self._running = False
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to take work."""
        self._running = True
        self._thread = Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end."""
        with self._changed:
            self._running = False
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    async def score(self, detector: Detector, clips: Sequence[Prepared], *, deadline: float) -> Scored:
        """Score clips together.

        Raises
        ------
        ProblemError
            ``overloaded``, at once, if they do not fit in the queue; ``deadline_exceeded`` if it passes first.
        """
        loop = asyncio.get_running_loop()
        job = _Job(detector, clips, deadline, loop, loop.create_future())
        with self._changed:
            if self._waiting and self._waiting + len(clips) > self._max_clips:
                raise ProblemError(
                    "overloaded",
                    f"At most {self._max_clips} clips wait for a detector. Received: one more.",
                    headers={"Retry-After": "1"},
                )
            self._jobs.append(job)
            self._count(len(clips))
            self._changed.notify()
        try:
            return await asyncio.wait_for(job.future, max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise ProblemError("deadline_exceeded", "The deadline passed before the clip was scored.") from None

    def _work(self) -> None:
        while jobs := self._take():
            begun = time.perf_counter()
            clips = [clip for job in jobs for clip in job.clips]
            try:
                scores = jobs[0].detector.score_prepared(clips)
            except Exception as error:
                for job in jobs:
                    job.loop.call_soon_threadsafe(_fail, job.future, error)
                continue
            seconds = time.perf_counter() - begun
            self._telemetry.stages.labels("infer").observe(seconds)
            self._telemetry.batch.observe(len(clips))
            first = 0
            for job in jobs:
                scored = Scored(scores[first : first + len(job.clips)], begun - job.queued, seconds)
                first += len(job.clips)
                self._telemetry.stages.labels("queue").observe(scored.queue_seconds)
                job.loop.call_soon_threadsafe(_resolve, job.future, scored)

    def _take(self) -> list[_Job]:
        """The next call's jobs; none when there is no more work to come. The abandoned are dropped here, unscored."""
        with self._changed:
            while True:
                while self._jobs and self._expired(self._jobs[0]):
                    self._count(-len(self._jobs.popleft().clips))
                if self._jobs:
                    break
                if not self._running:
                    return []
                self._changed.wait()
            taken: list[_Job] = []
            room = _CALL_CLIPS
            for job in list(self._jobs):
                if taken and (job.detector is not taken[0].detector or len(job.clips) > room):
                    break
                self._jobs.popleft()
                self._count(-len(job.clips))
                if not self._expired(job):
                    taken.append(job)
                    room -= len(job.clips)
            return taken

    def _count(self, change: int) -> None:
        self._waiting += change
        self._telemetry.waiting.set(self._waiting)

    @staticmethod
    def _expired(job: _Job) -> bool:
        return job.future.cancelled() or time.monotonic() > job.deadline


def _resolve(future: "asyncio.Future[Scored]", scored: Scored) -> None:
    if not future.done():
        future.set_result(scored)


def _fail(future: "asyncio.Future[Scored]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
