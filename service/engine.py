"""Calls of the detectors, shared by whoever waits, in slices that let everyone through.

A thread for each core makes the calls, and a call stays on its core: threads that share one wait for each other in
each of its operations. Each takes a few windows of what waits for the same detector in one call, and never waits for
more: alone, a clip is shared out and scored at once; under load, calls grow by themselves. A long clip takes turns with
the others, a call at a time.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Condition, Thread

import numpy as np
import numpy.typing as npt

from model_store.detector import CALL_WINDOWS, Detector, Prepared, Score
from service.admission import Place
from service.lanes import LANES, Lane, Lanes
from service.priority import give_way
from service.settle import settle
from service.telemetry import Telemetry

_SHADOW_WINDOWS = 2  # in one call: whoever comes meanwhile waits for no more


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores, and the time of the calls that they came from."""

    scores: list[Score]
    infer_seconds: float


@dataclass(slots=True, eq=False)
class _Job:
    """Clips to score. `taken`, `done` and what they lead to are the engine's, under its lock."""

    detector: Detector
    clips: Sequence[Prepared]
    lane: Lane
    place: Place | None
    deadline: float
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]
    windows: int = field(init=False)  # of all clips together
    logits: npt.NDArray[np.float32] = field(init=False)
    taken: int = 0  # windows in a call, or behind one
    done: int = 0
    seconds: float = 0.0
    failed: bool = False

    def __post_init__(self) -> None:
        self.windows = sum(len(clip.windows) for clip in self.clips)
        self.logits = np.empty(self.windows, np.float32)

    @property
    def over(self) -> bool:
        """Whether nobody waits for it."""
        return self.failed or self.future.cancelled() or time.monotonic() > self.deadline


@dataclass(frozen=True, slots=True)
class _Slice:
    """Windows of a job, counted over its clips one after the other."""

    job: _Job
    first: int
    end: int

    def windows(self) -> Iterator[npt.NDArray[np.float32]]:
        """They, clip by clip."""
        offset = 0
        for clip in self.job.clips:
            yield clip.windows[max(0, self.first - offset) : max(0, self.end - offset)]
            offset += len(clip.windows)


class Engine:
    """Scores for coroutines, from threads of its own between `start` and `stop`."""

    def __init__(self, telemetry: Telemetry, *, threads: int) -> None:
        self._telemetry = telemetry
        self._jobs: Lanes[_Job] = Lanes()
        self._changed = Condition()
        self._running = False
        self._shadowing = False
        self._idle = 0  # threads that wait for work
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

    async def score(
        self,
        detector: Detector,
        clips: Sequence[Prepared],
        *,
        lane: Lane = "single",
        place: Place | None = None,
        deadline: float = float("inf"),
    ) -> Scored:
        """Score clips together.

        Cancelled, or past the deadline (of `time.monotonic`), what is not in a call is dropped unscored; what is holds
        its place until the call's end.
        """
        loop = asyncio.get_running_loop()
        job = _Job(detector, clips, lane, place, deadline, loop, loop.create_future())
        with self._changed:
            self._jobs.put(lane, job)
            self._changed.notify()
        try:
            await job.future
        except asyncio.CancelledError:
            with self._changed:
                self._jobs.discard(lane, job)
            raise
        return Scored(detector.scores(clips, job.logits), job.seconds)

    def _work(self) -> None:
        give_way()
        while slices := self._take():
            self._call(slices)
            del slices  # waiting for the next ones, hold no audio

    def _take(self) -> list[_Slice]:
        """The next call's windows; none when no more work will come."""
        with self._changed:
            while True:
                lane = self._jobs.next(self._may)
                if lane is not None:
                    if slices := self._gather(lane):
                        return slices
                elif self._running or any(True for _ in self._jobs):
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                else:
                    return []

    def _may(self, lane: Lane) -> bool:
        return lane != "shadow" or not self._shadowing

    def _gather(self, lane: Lane) -> list[_Slice]:
        """Windows for one detector, of the lane whose turn it is and then of the others; shadows' stay alone."""
        lanes = [lane] if lane == "shadow" else [lane, *(other for other in LANES[:2] if other != lane)]
        room = _SHADOW_WINDOWS if lane == "shadow" else self._share()
        slices: list[_Slice] = []
        unfinished: list[_Job] = []
        for served in lanes:
            while room and (job := self._jobs.head(served)) is not None:
                if job.over:
                    self._jobs.pop(served)
                    self._telemetry.dropped.labels("infer").inc()
                    continue
                if slices and job.detector is not slices[0].job.detector:
                    break
                self._jobs.pop(served)
                count = min(room, job.windows - job.taken)
                slices.append(_Slice(job, job.taken, job.taken + count))
                job.taken += count
                room -= count
                if job.place is not None:
                    job.place.begin()
                if job.taken < job.windows:
                    unfinished.append(job)
        for job in unfinished:
            self._jobs.put(job.lane, job)
            self._changed.notify()
        self._shadowing |= bool(slices) and lane == "shadow"
        return slices

    def _share(self) -> int:
        """Windows for one call, of all that wait: those for which no other thread is free."""
        waiting = sum(job.windows - job.taken for job in self._jobs if job.lane != "shadow")
        return min(CALL_WINDOWS, -(-waiting // (1 + self._idle)))

    def _call(self, slices: list[_Slice]) -> None:
        begun = time.perf_counter()
        jobs, failure = list[_Job](), None
        try:
            parts = [some for part in slices for some in part.windows()]
            windows = np.concatenate(parts) if len(parts) > 1 else parts[0]
            logits = slices[0].job.detector.logits(windows)
            seconds = time.perf_counter() - begun
            self._telemetry.stages.labels("infer").observe(seconds)
            self._telemetry.batch.observe(len(logits))
            first = 0
            for part in slices:
                end = first + part.end - part.first
                part.job.logits[part.first : part.end] = logits[first:end]
                first = end
            jobs = self._count(slices, seconds)
        except Exception as error:
            jobs, failure = [*{part.job for part in slices}], error
            for job in jobs:
                job.failed = True
        finally:
            # Before anybody is told: who has an answer may send the next clip, and finds the place free.
            for part in slices:
                if part.job.place is not None:
                    part.job.place.end()
            if slices[0].job.lane == "shadow":
                with self._changed:
                    self._shadowing = False
                    self._changed.notify()
        for job in jobs:
            settle(job.loop, job.future, error=failure)

    def _count(self, slices: list[_Slice], seconds: float) -> list[_Job]:
        """Count a call's windows as done; the jobs that are whole now."""
        whole = []
        with self._changed:
            for part in slices:
                part.job.done += part.end - part.first
                part.job.seconds += seconds
                if part.job.done == part.job.windows:
                    whole.append(part.job)
        return whole
