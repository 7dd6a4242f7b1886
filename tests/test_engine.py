"""The calls that clips share, with detectors that only take notes."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from model_store.detector import Detector
from service.engine import Engine, Scored
from service.lanes import Lane
from service.priority import LOWER_BY
from service.telemetry import Telemetry


class Notes:
    """Stands for a detector whose windows are numbers: doubles them, keeps its calls, and waits to `go_on`."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.begun, self.go_on = Event(), Event()

    def logits(self, windows: Any) -> Any:
        self.calls.append([int(window) for window in windows[:, 0]])
        self.begun.set()
        self.go_on.wait(10)
        if 13 in windows:
            raise ArithmeticError("thirteen")
        return 2 * windows[:, 0]

    def scores(self, clips: Any, logits: Any) -> list[Any]:
        ends = np.cumsum([len(clip.windows) for clip in clips])
        return [part.tolist() for part in np.split(logits, ends[:-1])]


@asynccontextmanager
async def running(threads: int = 1) -> AsyncIterator[Engine]:
    engine = Engine(Telemetry(), threads=threads)
    engine.start()
    yield engine
    await asyncio.to_thread(engine.stop)
    assert not any(thread.is_alive() for thread in cast(Any, engine)._threads)


async def ask(engine: Engine, detector: Notes, *clips: Sequence[int], **how: Any) -> Scored:
    """Each clip is its windows."""
    prepared: Any = [SimpleNamespace(windows=np.array(clip, np.float32)[:, None]) for clip in clips]
    return await engine.score(cast(Detector, detector), prepared, **how)


async def waiting(
    engine: Engine, detector: Notes, *jobs: Sequence[int], lanes: Sequence[Lane] = ()
) -> "list[asyncio.Task[Scored]]":
    """Clips that stand behind a first one, which is in the detector and goes on when told to."""
    first = asyncio.create_task(ask(engine, detector, [0]))
    await asyncio.to_thread(detector.begun.wait, 10)
    others = [
        asyncio.create_task(ask(engine, detector, clip, lane=lane))
        for clip, lane in zip(jobs, lanes or ["single"] * len(jobs), strict=True)
    ]
    await asyncio.sleep(0)  # each has begun to wait
    return [first, *others]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def within_time(scenario: Coroutine[Any, Any, None]) -> None:
    """Run it, or fail: an engine that has died answers nobody."""
    asyncio.run(asyncio.wait_for(scenario, 20))


def test_a_job_alone_is_done_at_once() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            detector.go_on.set()
            assert (await ask(engine, detector, [1], [2, 3])).scores == [[2], [4, 6]]
            assert detector.calls == [[1, 2, 3]]

    within_time(scenario())


def test_clips_that_wait_share_a_call() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            tasks = await waiting(engine, detector, [1], [2, 3], [4])
            detector.go_on.set()
            assert [scored.scores for scored in await asyncio.gather(*tasks)] == [[[0]], [[2]], [[4, 6]], [[8]]]
            assert detector.calls == [[0], [1, 2, 3, 4]]

    within_time(scenario())


@pytest.mark.parametrize("window", [1, 13], ids=["a score", "a fault"])
def test_a_place_is_free_before_anybody_is_told(window: int) -> None:
    left = []

    def end() -> None:
        time.sleep(0.1)
        left.append(True)

    async def scenario() -> None:
        async with running() as engine:
            detector, place = Notes(), SimpleNamespace(begin=lambda: None, end=end)
            detector.go_on.set()
            with suppress(ArithmeticError):
                await ask(engine, detector, [window], place=place)
            assert left

    within_time(scenario())


def test_a_long_clip_takes_turns() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            long = list(range(100, 130))
            tasks = await waiting(engine, detector, long, [1], [2])
            done: list[int] = []
            for number, task in enumerate(tasks):
                task.add_done_callback(lambda _, number=number: done.append(number))
            detector.go_on.set()
            scores = [scored.scores for scored in await asyncio.gather(*tasks)]
            assert scores[1:] == [[[2 * window for window in long]], [[2]], [[4]]]
            assert [len(call) for call in detector.calls] == [1, 8, 8, 8, 8]
            assert detector.calls[2][:2] == [1, 2]  # not behind the whole of it
            assert done[-1] == 1

    within_time(scenario())


def test_of_four_calls_one_is_a_batchs_if_both_wait() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            singles, bulk = [[n] * 8 for n in range(1, 9)], [[n] * 8 for n in range(51, 59)]
            tasks = await waiting(engine, detector, *bulk, *singles, lanes=["bulk"] * 8 + ["single"] * 8)
            detector.go_on.set()
            await asyncio.gather(*tasks)
            order = [call[0] for call in detector.calls[1:]]
            assert order == [1, 2, 3, 51, 4, 5, 6, 52, 7, 8, *range(53, 59)]

    within_time(scenario())


def test_a_batch_fills_a_single_clips_call() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            tasks = await waiting(engine, detector, [51], [1], lanes=["bulk", "single"])
            detector.go_on.set()
            await asyncio.gather(*tasks)
            assert detector.calls == [[0], [1, 51]]

    within_time(scenario())


def test_a_shadow_waits_for_everybody_and_takes_little() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            tasks = await waiting(engine, detector, [90] * 5, [51] * 9, [1], lanes=["shadow", "bulk", "single"])
            detector.go_on.set()
            await asyncio.gather(*tasks)
            assert detector.calls == [[0], [1] + [51] * 7, [51] * 2, [90] * 2, [90] * 2, [90]]

    within_time(scenario())


def test_another_thread_takes_the_next_call_meanwhile() -> None:
    async def scenario() -> None:
        async with running(threads=2) as engine:
            slow, quick = Notes(), Notes()
            quick.go_on.set()
            tasks = await waiting(engine, slow)
            assert (await ask(engine, quick, [2])).scores == [[4]]
            assert not any(task.done() for task in tasks)
            slow.go_on.set()
            await asyncio.gather(*tasks)

    within_time(scenario())


def test_threads_that_are_free_share_what_waits() -> None:
    async def scenario() -> None:
        async with running(threads=3) as engine:
            detector = Notes()
            alone = asyncio.create_task(ask(engine, detector, range(7)))
            await until(lambda: len(detector.calls) == 3)
            behind = asyncio.create_task(ask(engine, detector, range(20, 27)))  # whoever is first has it for itself
            await asyncio.sleep(0)
            detector.go_on.set()
            assert [(await task).scores for task in (alone, behind)] == [[[*range(0, 14, 2)]], [[*range(40, 54, 2)]]]
            assert sorted(detector.calls[:3]) == [[0, 1, 2], [3, 4], [5, 6]]

    within_time(scenario())


def test_each_detector_gets_its_own_clips_in_order() -> None:
    async def scenario() -> None:
        async with running() as engine:
            one, other = Notes(), Notes()
            other.go_on.set()
            tasks = await waiting(engine, one, [1])
            tasks += [asyncio.create_task(ask(engine, other, [7])), asyncio.create_task(ask(engine, one, [2]))]
            await asyncio.sleep(0)
            one.go_on.set()
            assert [scored.scores for scored in await asyncio.gather(*tasks)] == [[[0]], [[2]], [[14]], [[4]]]
            assert (one.calls, other.calls) == ([[0], [1], [2]], [[7]])

    within_time(scenario())


@pytest.mark.parametrize("given_up", [[1], [2], [3], [1, 2], [1, 2, 3]])
def test_what_nobody_waits_for_is_not_done(given_up: list[int]) -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            tasks = await waiting(engine, detector, [1], [2], [3])
            for index in given_up:
                tasks[index].cancel()
            await asyncio.sleep(0)
            detector.go_on.set()
            kept = [index for index in range(4) if index not in given_up]
            assert [(await tasks[index]).scores for index in kept] == [[[2 * index]] for index in kept]
            assert [window for call in detector.calls for window in call] == kept
            assert (await ask(engine, detector, [9])).scores == [[18]]  # and the thread goes on

    within_time(scenario())


def test_the_rest_of_a_long_clip_is_not_done_for_nobody() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            long = asyncio.create_task(ask(engine, detector, [5] * 80))
            await asyncio.to_thread(detector.begun.wait, 10)
            long.cancel()
            await asyncio.sleep(0)
            detector.go_on.set()
            assert (await ask(engine, detector, [9])).scores == [[18]]
            assert detector.calls == [[5] * 8, [9]]

    within_time(scenario())


def test_a_deadline_that_has_passed_is_not_worked_for() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            [first] = await waiting(engine, detector)
            late = asyncio.create_task(ask(engine, detector, [1], deadline=0.0))  # of a clock that began long ago
            await asyncio.sleep(0)
            detector.go_on.set()
            await first
            assert (await ask(engine, detector, [2])).scores == [[4]]
            assert detector.calls == [[0], [2]]
            assert cast(Any, engine)._telemetry.dropped.labels("infer")._value.get() == 1
            late.cancel()

    within_time(scenario())


def test_a_fault_reaches_those_who_asked_and_nobody_else() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            tasks = await waiting(engine, detector, [1], [13] * 20)
            detector.go_on.set()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(one) for one in found] == [Scored, ArithmeticError, ArithmeticError]
            assert (await ask(engine, detector, [5])).scores == [[10]]
            assert len(detector.calls) == 3  # the rest of what failed is not tried

    within_time(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux alone")
def test_its_threads_let_the_event_loop_go_first() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            detector.go_on.set()
            await ask(engine, detector, [1])
            [thread] = cast(Any, engine)._threads
            usual = os.getpriority(os.PRIO_PROCESS, os.getpid())
            assert os.getpriority(os.PRIO_PROCESS, thread.native_id) == min(19, usual + LOWER_BY)

    within_time(scenario())


def test_stopping_finishes_what_waits() -> None:
    async def scenario() -> None:
        detector = Notes()
        async with running() as engine:
            tasks = await waiting(engine, detector, [1], [2] * 20)
            asyncio.get_running_loop().call_later(0.1, detector.go_on.set)
        assert [scored.scores for scored in await asyncio.gather(*tasks)] == [[[0]], [[2]], [[4] * 20]]

    within_time(scenario())
