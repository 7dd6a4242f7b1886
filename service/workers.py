"""Threads that do for coroutines what would hold the event loop up: they decode.

What would hardly hold it up is done at once on its own thread, unless many wait: threads of Python wait for each
other's lock at every step of NumPy's, which costs more than a short clip's decoding itself.
"""

import asyncio
import time
from collections.abc import Callable
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

from service.admission import Admission, Place
from service.lanes import Lane, Lanes
from service.priority import give_way
from service.settle import settle
from service.telemetry import Telemetry

_LOOK_AGAIN_SECONDS = 0.05  # whether what was decoded has been scored meanwhile

T = TypeVar("T")


class _Task(Generic[T]):
    """A function to call, and who waits for what it returns until when."""

    def __init__(self, function: Callable[[], T], place: Place | None, deadline: float) -> None:
        self.function, self.place, self.deadline = function, place, deadline
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self.loop.create_future()

    def run(self) -> None:
        """Call it, let its place go, and tell whoever still waits: who is told finds the place free."""
        value, failure = None, None
        try:
            value = self.function()
        except Exception as error:
            failure = error
        finally:
            if self.place is not None:
                self.place.end()
        settle(self.loop, self.future, value=value, error=failure)


def _at_once(function: Callable[[], T], place: Place | None) -> T:
    if place is None:
        return function()
    place.begin()
    try:
        return function()
    finally:
        place.end()


class Workers:
    """The threads, alive between `start` and `stop`. Of several, a batch never has the last one, nor a shadow two."""

    def __init__(self, telemetry: Telemetry, admission: Admission, *, threads: int) -> None:
        self._telemetry = telemetry
        self._admission = admission
        self._tasks: Lanes[_Task[Any]] = Lanes()
        self._busy: dict[Lane, int] = {"single": 0, "bulk": 0, "shadow": 0}
        self._changed = Condition()
        self._running = False
        self._threads = [Thread(target=self._work, name=f"decode-{n}", daemon=True) for n in range(threads)]

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

    async def run(
        self, function: Callable[[], T], *, lane: Lane, place: Place | None, deadline: float, brief: bool = False
    ) -> T:
        """Call a function on a thread; or here and now, where it is `brief` and not many wait.

        Cancelled, or past the deadline (of `time.monotonic`), what has not been begun never will be; what has been
        holds its place to its end.
        """
        if brief and self._admission.calm() and self._admission.may_decode(lane):
            return _at_once(function, place)
        task = _Task(function, place, deadline)
        with self._changed:
            self._tasks.put(lane, task)
            self._changed.notify()
        try:
            return await task.future
        except asyncio.CancelledError:
            with self._changed:
                self._tasks.discard(lane, task)
            raise

    def _work(self) -> None:
        give_way()
        while (taken := self._take()) is not None:
            lane, task = taken
            task.run()
            del taken, task  # waiting for the next one, hold no audio
            with self._changed:
                self._busy[lane] -= 1
                self._changed.notify()

    def _take(self) -> tuple[Lane, _Task[Any]] | None:
        """The next task, its place held; None when no more will come."""
        with self._changed:
            while True:
                lane = self._tasks.next(self._may)
                if lane is not None:
                    task = self._tasks.pop(lane)
                    if task.future.cancelled() or time.monotonic() > task.deadline:
                        self._telemetry.dropped.labels("decode").inc()
                        continue
                    if task.place is not None:
                        task.place.begin()
                    self._busy[lane] += 1
                    return lane, task
                waits = any(True for _ in self._tasks)
                if not self._running and not waits:
                    return None
                self._changed.wait(_LOOK_AGAIN_SECONDS if waits else None)

    def _may(self, lane: Lane) -> bool:
        others = sum(self._busy.values()) - self._busy["single"]
        alone = lane == "single" or others < max(1, len(self._threads) - 1)
        return alone and (lane != "shadow" or self._busy["shadow"] == 0) and self._admission.may_decode(lane)
