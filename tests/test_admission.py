"""Places: how many, how long, for whom; and the rate that says how long the next one has to wait."""

import asyncio
from typing import Any

import pytest

from service.admission import Admission, Place
from service.problems import ProblemError
from service.rate import Rate
from service.telemetry import Telemetry


class Clock:
    """Goes on when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def admission(**changes: Any) -> Admission:
    usual = {"max_clips": 4, "max_seconds": 100.0, "max_batches": 2, "deadline_seconds": 20.0}
    return Admission(Telemetry(), **{**usual, **changes})


def taken(places: Admission, *seconds: float) -> list[Place]:
    """Places of single clips that have been decoded."""
    found = []
    for each in seconds:
        found.append(places.place(0))
        found[-1].lasts(each)
    return found


def refused(places: Admission, size: int = 0) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        places.place(size)
    assert caught.value.code == "overloaded"
    return caught.value


def test_places_are_bounded_and_given_back() -> None:
    places = admission(max_clips=2)
    with places.place(0):
        with pytest.raises(ZeroDivisionError), places.place(0):
            _ = 1 / 0
        with places.place(0):
            assert refused(places).headers == {"Retry-After": "1"}
        with places.place(0):
            pass
    assert places.clips == 0


def test_seconds_of_audio_are_bounded() -> None:
    places = admission()
    one, other = taken(places, 60.0, 39.0)
    refused(places, 64_000)  # bytes that stand for 2 s
    with places.place(32_000) as third:
        third.lasts(0.25)
        with places.place(16_000):
            pass
    one.leave()
    other.leave()
    with places.place(32_000 * 500) as large, places.place(32_000 * 40):  # the first may be half of all
        large.lasts(500.0)
        refused(places)
        large.lasts(3.0)
        with places.place(32_000 * 50):
            pass


def test_a_place_is_free_when_the_last_that_works_on_it_has_ended() -> None:
    places = admission(max_clips=1)
    with places.place(0) as place:
        place.begin()  # a thread
    refused(places)
    place.end()
    with places.place(0):
        pass


def test_singles_keep_half_of_the_seconds_whatever_a_batch_turns_out_to_be() -> None:
    async def scenario() -> None:
        places = admission()
        async with asyncio.timeout(5):
            bulk = await places.bulk_place(0)
        bulk.lasts(400.0)  # it was well packed
        taken(places, 49.0)
        refused(places, 64_000)

    asyncio.run(scenario())


def rated(clock: Clock, per_second: float, **changes: Any) -> Admission:
    """Places of a service that was busy for a minute, and scored so much of audio a second."""
    places = admission(max_clips=100, max_seconds=10_000.0, clock=clock, **changes)
    with places.place(0) as busy:
        busy.begin()
        for _ in range(60):
            clock.now += 1
            [place] = taken(places, per_second)
            place.scored = True
            place.leave()
        busy.end()
    return places


def test_who_would_wait_for_longer_than_half_the_deadline_is_refused_now_and_told_when_to_come() -> None:
    places = rated(Clock(), 20.0)
    waiting = taken(places, 150.0, 45.0, 10.0)  # 205 s of audio at 20 s a second
    assert refused(places).headers == {"Retry-After": "11"}
    waiting[0].leave()
    with places.place(0):
        pass


def test_what_was_not_scored_is_no_work_done() -> None:
    clock = Clock()
    places = rated(clock, 20.0)
    with places.place(0) as busy:
        busy.begin()
        for _ in range(30):
            clock.now += 1
            [gone] = taken(places, 100.0)  # decoded, and then its caller went
            gone.leave()
        taken(places, 100.0)
        assert int(refused(places).headers["Retry-After"]) > 20
        busy.end()


def test_a_body_that_is_waited_for_is_no_work() -> None:
    clock = Clock()
    places = rated(clock, 20.0)
    with places.place(0):
        clock.now += 1_000
    taken(places, 201.0)
    assert refused(places).headers == {"Retry-After": "11"}


def test_decoding_waits_for_scoring() -> None:
    places = admission()
    assert places.may_decode("single")
    waiting = [places.place(100) for _ in range(2)]
    waiting[0].lasts(99.0)
    assert places.may_decode("single")
    waiting[1].lasts(99.0)  # more than it looked like
    assert not places.may_decode("single")
    waiting[0].leave()
    assert places.may_decode("single")


def test_batches_have_half_of_the_places_and_wait_for_them() -> None:
    async def scenario() -> None:
        places = admission()
        first = [await places.bulk_place(0) for _ in range(2)]
        waiters = [asyncio.create_task(places.bulk_place(0)) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert not any(waiter.done() for waiter in waiters)
        with places.place(0), places.place(0):  # the other half
            refused(places)
            waiters.pop(0).cancel()  # who goes keeps nobody up
            await asyncio.to_thread(first[0].leave)
            second = await asyncio.wait_for(waiters[0], 5)
            assert not waiters[1].done()
            second.leave()
            (await asyncio.wait_for(waiters[1], 5)).leave()
            first[1].lasts(60.0)  # more than half of the seconds
            later = asyncio.create_task(places.bulk_place(0))
            await asyncio.sleep(0.01)
            assert not places.may_decode("bulk")
            assert places.may_decode("single")
            assert not later.done()
            first[1].leave()
            (await asyncio.wait_for(later, 5)).leave()
        assert places.clips == 0

    asyncio.run(scenario())


def test_batches_are_bounded_in_number() -> None:
    places = admission(max_batches=1)
    with places.batch():
        for refusing in (places.check_batches, places.batch().__enter__):
            with pytest.raises(ProblemError, match="At most 1 batches"):
                refusing()
    with places.batch():
        pass


def test_a_rate_is_of_time_at_work() -> None:
    clock = Clock()
    rate = Rate(clock)
    assert rate.per_second is None
    for _ in range(100):
        rate.working(True)
        clock.now += 0.1
        rate.done(3.0)
        rate.working(False)
        clock.now += 7.0  # nothing to do
    assert rate.per_second == pytest.approx(30.0, rel=0.02)
    rate.working(True)
    for _ in range(60):
        clock.now += 1
        rate.done(5.0)
    assert rate.per_second == pytest.approx(5.0, rel=0.1)  # it has become slower, and forgets
