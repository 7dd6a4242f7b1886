"""The queue in front of the detectors, with detectors that only take notes."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from threading import Event
from typing import Any, cast

import pytest

from model_store.detector import Detector, Prepared
from service.engine import Engine, Scored
from service.problems import ProblemError
from service.telemetry import Telemetry


class Notes:
    """Stands for a detector: scores numbers by doubling them, keeps its calls, and waits for `go_on` in the first."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.begun, self.go_on = Event(), Event()

    def score_prepared(self, clips: list[int]) -> list[int]:
        self.calls.append(clips)
        self.begun.set()
        self.go_on.wait(10)
        if 13 in clips:
            raise ArithmeticError("thirteen")
        return [2 * clip for clip in clips]


@asynccontextmanager
async def running(max_clips: int = 100, threads: int = 1) -> AsyncIterator[Engine]:
    engine = Engine(Telemetry(), max_clips=max_clips, threads=threads)
    engine.start()
    yield engine
    await asyncio.to_thread(engine.stop)
    assert not any(thread.is_alive() for thread in cast(Any, engine)._threads)


async def ask(engine: Engine, detector: Notes, *clips: int) -> Scored:
    return await engine.score(cast(Detector, detector), cast(Sequence[Prepared], clips))


async def waiting(engine: Engine, detector: Notes, *jobs: Sequence[int]) -> "list[asyncio.Task[Scored]]":
    """Jobs that stand behind a first one, which is in the detector and goes on when told to."""
    first = asyncio.create_task(ask(engine, detector, 0))
    await asyncio.to_thread(detector.begun.wait, 10)
    others = [asyncio.create_task(ask(engine, detector, *clips)) for clips in jobs]
    await asyncio.sleep(0)  # each has begun to wait
    return [first, *others]


def within_time(scenario: Coroutine[Any, Any, None]) -> None:
    """Run it, or fail: an engine that has died answers nobody."""
    asyncio.run(asyncio.wait_for(scenario, 20))


def test_a_job_alone_is_done_at_once() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            detector.go_on.set()
            assert (await ask(engine, detector, 1, 2)).scores == [2, 4]
            assert detector.calls == [[1, 2]]

    within_time(scenario())


def test_jobs_that_wait_share_a_call() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            tasks = await waiting(engine, detector, [1], [2, 3], [4])
            detector.go_on.set()
            assert [scored.scores for scored in await asyncio.gather(*tasks)] == [[0], [2], [4, 6], [8]]
            assert detector.calls == [[0], [1, 2, 3, 4]]

    within_time(scenario())


def test_a_call_has_4_clips_at_most_but_a_job_is_never_split() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            tasks = await waiting(engine, detector, [1] * 3, [2], [3], [4] * 50, [5])
            detector.go_on.set()
            await asyncio.gather(*tasks)
            assert [len(call) for call in detector.calls] == [1, 4, 1, 50, 1]

    within_time(scenario())


def test_another_thread_takes_the_next_call_meanwhile() -> None:
    async def scenario() -> None:
        async with running(threads=2) as engine:
            slow, quick = Notes(), Notes()
            quick.go_on.set()
            tasks = await waiting(engine, slow)
            assert (await ask(engine, quick, 2)).scores == [4]
            assert not any(task.done() for task in tasks)
            slow.go_on.set()
            await asyncio.gather(*tasks)

    within_time(scenario())


def test_each_detector_gets_its_own_clips_in_order() -> None:
    async def scenario() -> None:
        async with running() as engine:
            one, other = Notes(), Notes()
            other.go_on.set()
            tasks = await waiting(engine, one, [1])
            tasks += [asyncio.create_task(ask(engine, other, 7)), asyncio.create_task(ask(engine, one, 2))]
            await asyncio.sleep(0)
            one.go_on.set()
            assert [scored.scores for scored in await asyncio.gather(*tasks)] == [[0], [2], [14], [4]]
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
            assert [(await tasks[index]).scores for index in kept] == [[2 * index] for index in kept]
            assert [clip for call in detector.calls for clip in call] == kept
            assert (await ask(engine, detector, 9)).scores == [18]  # and the thread goes on

    within_time(scenario())


def test_a_deadline_gives_up() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            [first] = await waiting(engine, detector)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await ask(engine, detector, 1)
            detector.go_on.set()
            await first
            assert detector.calls == [[0]]

    within_time(scenario())


def test_a_fault_reaches_those_who_asked_and_nobody_else() -> None:
    async def scenario() -> None:
        async with running() as engine:
            detector = Notes()
            tasks = await waiting(engine, detector, [1], [13])
            detector.go_on.set()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(one) for one in found] == [Scored, ArithmeticError, ArithmeticError]
            assert (await ask(engine, detector, 5)).scores == [10]

    within_time(scenario())


def test_stopping_finishes_what_waits() -> None:
    async def scenario() -> None:
        detector = Notes()
        async with running() as engine:
            tasks = await waiting(engine, detector, [1], [2])
            asyncio.get_running_loop().call_later(0.1, detector.go_on.set)
        assert [scored.scores for scored in await asyncio.gather(*tasks)] == [[0], [2], [4]]

    within_time(scenario())


def test_places_are_bounded_and_given_back() -> None:
    engine = Engine(Telemetry(), max_clips=2, threads=1)
    with engine.admitted():
        with pytest.raises(ZeroDivisionError), engine.admitted():
            _ = 1 / 0
        with engine.admitted():
            with pytest.raises(ProblemError) as caught, engine.admitted():
                pass
            assert (caught.value.code, caught.value.headers) == ("overloaded", {"Retry-After": "1"})
        with engine.admitted():
            pass
