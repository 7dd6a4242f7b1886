"""The threads that decode: who is served, who is dropped, what holds a place."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from threading import Event, get_ident
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.admission import Place
from service.lanes import Lane
from service.telemetry import Telemetry
from service.workers import Workers
from tests.test_admission import admission

LATER = float("inf")


@asynccontextmanager
async def running(threads: int = 1, **limits: Any) -> AsyncIterator[Workers]:
    workers = Workers(Telemetry(), admission(**limits), threads=threads)
    workers.start()
    yield workers
    await asyncio.to_thread(workers.stop)
    assert not any(thread.is_alive() for thread in cast(Any, workers)._threads)


def begin(
    workers: Workers, function: Callable[[], Any], lane: Lane = "single", place: Place | None = None
) -> "asyncio.Task[Any]":
    return asyncio.create_task(workers.run(function, lane=lane, place=place, deadline=LATER))


def within_time(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


@pytest.mark.parametrize("value", [1, 0], ids=["a value", "an error"])
def test_a_place_is_free_before_anybody_is_told(value: int) -> None:
    left = []

    def end() -> None:
        time.sleep(0.1)
        left.append(True)

    async def scenario() -> None:
        async with running() as workers:
            place: Any = SimpleNamespace(begin=lambda: None, end=end)
            with suppress(ZeroDivisionError):
                await begin(workers, lambda: 1 / value, place=place)
            assert left

    within_time(scenario())


class Held:
    """A function that has begun, and goes on when told to."""

    def __init__(self) -> None:
        self.begun, self.go_on = Event(), Event()

    def __call__(self) -> str:
        self.begun.set()
        self.go_on.wait(10)
        return "done"


def test_values_and_errors_come_back() -> None:
    async def scenario() -> None:
        async with running() as workers:
            assert await begin(workers, lambda: 7) == 7
            with pytest.raises(ZeroDivisionError):
                await begin(workers, lambda: 1 / 0)
            assert await begin(workers, lambda: 8) == 8

    within_time(scenario())


def test_what_is_brief_is_done_at_once_in_its_place() -> None:
    async def scenario() -> None:
        async with running() as workers:
            places, held = cast(Any, workers)._admission, Held()
            begin(workers, held)
            await asyncio.to_thread(held.begun.wait, 10)  # the only thread is busy
            with places.place(0) as place:

                def where() -> tuple[int, int]:
                    return get_ident(), place.working

                run = partial(workers.run, lane="single", place=place, deadline=LATER, brief=True)
                assert await run(where) == (get_ident(), 1)
                with pytest.raises(ZeroDivisionError):
                    await run(lambda: 1 / 0)
                assert place.working == 0
            held.go_on.set()

    within_time(scenario())


def test_what_is_brief_is_left_to_the_threads_while_many_wait() -> None:
    async def scenario() -> None:
        async with running(max_clips=2) as workers:
            places = cast(Any, workers)._admission
            run = partial(workers.run, get_ident, lane="single", place=None, deadline=LATER, brief=True)
            with places.place(0):
                assert await run() == get_ident()
                with places.place(0):
                    assert await run() != get_ident()

    within_time(scenario())


def test_what_has_begun_keeps_its_place_and_what_has_not_is_dropped() -> None:
    async def scenario() -> None:
        async with running() as workers:
            places = cast(Any, workers)._admission
            called: list[int] = []
            held = Held()
            with places.place(0) as place:
                first = begin(workers, held, place=place)
                await asyncio.to_thread(held.begun.wait, 10)
                second = begin(workers, lambda: called.append(1))
                late = asyncio.create_task(
                    workers.run(lambda: called.append(2), lane="single", place=None, deadline=time.monotonic())
                )
                await asyncio.sleep(0)
                first.cancel()
                second.cancel()
                await asyncio.sleep(0)
            assert places.clips == 1
            held.go_on.set()
            await begin(workers, lambda: called.append(3))
            assert called == [3]
            assert places.clips == 0
            assert cast(Any, workers)._telemetry.dropped.labels("decode")._value.get() == 1
            late.cancel()

    within_time(scenario())


def test_a_batch_never_has_the_last_thread_nor_a_shadow_two() -> None:
    async def scenario() -> None:
        for lane in ("bulk", "shadow"):
            async with running(threads=3) as workers:
                held = [Held() for _ in range(3)]
                tasks = [begin(workers, one, lane=cast(Lane, lane)) for one in held]
                assert await begin(workers, lambda: "through") == "through"
                await asyncio.sleep(0.1)
                assert sum(one.begun.is_set() for one in held) == (2 if lane == "bulk" else 1)
                for one in held:
                    one.go_on.set()
                assert await asyncio.gather(*tasks) == ["done"] * 3

    within_time(scenario())


def test_single_clips_come_first_but_not_only() -> None:
    async def scenario() -> None:
        async with running() as workers:
            held, order = Held(), []
            tasks = [begin(workers, held)]
            await asyncio.to_thread(held.begun.wait, 10)
            for lane in ("shadow", "bulk", "single"):
                tasks += [begin(workers, lambda lane=lane: order.append(lane[0]), lane=lane) for _ in range(4)]
            await asyncio.sleep(0)
            held.go_on.set()
            await asyncio.gather(*tasks)
            assert "".join(order) == "sssbsbbbssss"

    within_time(scenario())


@pytest.mark.parametrize("brief", [False, True])
def test_decoding_waits_while_too_much_is_decoded(*, brief: bool) -> None:
    async def scenario() -> None:
        async with running(max_seconds=10.0) as workers:
            with cast(Any, workers)._admission.place(0) as place:
                place.lasts(11.0)
                run = workers.run(get_ident, lane="single", place=None, deadline=LATER, brief=brief)
                task = asyncio.create_task(run)
                await asyncio.sleep(0.2)
                assert not task.done()
            assert await task != get_ident()

    within_time(scenario())
