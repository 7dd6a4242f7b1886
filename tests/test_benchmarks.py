"""The benchmarks compare equals, and count right. How fast anything is, is not for a test to say."""

import asyncio
import email
import io
import itertools
import json
import math
import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from benchmarks import clips, load, overload, report, rounds, servers, stats
from benchmarks.arrivals import Arrivals, arrive
from benchmarks.as_shipped import HIDDEN
from benchmarks.cost import Costs, Length
from benchmarks.obvious import ObviousDetector
from benchmarks.results import Results, Start
from benchmarks.rounds import Case, Loads
from benchmarks.servers import Memory, Server
from model_store import audio
from model_store.detector import Detector
from model_store.store import Store

# The obvious service ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*slated for removal:DeprecationWarning")  # librosa loads audioread's backends
def test_the_obvious_service_gives_the_logits_of_the_detector(store: Path) -> None:
    folder = Store(store).resolve("simple_cnn")
    detector, obvious = Detector.load(folder), ObviousDetector(folder)
    for clip in clips.encoded().values():
        waveform = audio.decode(clip.data, sample_rate=detector.manifest.input.sample_rate).waveforms[0]
        logits = [segment.logit for segment in detector.score([waveform])[0].segments]
        assert rounds.greatest_difference(logits, obvious.logits(io.BytesIO(clip.data))) <= 1e-3


def test_a_difference_between_the_two_stops_the_benchmark() -> None:
    assert rounds.greatest_difference([1.0, -2.0], [1.0, -2.0005]) == pytest.approx(5e-4)
    with pytest.raises(RuntimeError, match="same logit"):
        rounds.greatest_difference([1.0, -2.0], [1.0, -2.002])
    with pytest.raises(RuntimeError, match="same logit"):
        rounds.greatest_difference([1.0], [math.nan])


def test_the_clips_pass_for_speech(store: Path) -> None:
    detector = Detector.load(Store(store).resolve("simple_cnn"))
    waveform = clips.speech(4.0, sample_rate=detector.manifest.input.sample_rate)
    assert detector.score([waveform])[0].speech_seconds > 1.5
    assert detector.score([np.zeros_like(waveform)])[0].speech_seconds == 0


def test_a_multipart_body_holds_the_clips() -> None:
    sent = list(clips.encoded(seconds=0.3).values())
    body, content_type = clips.multipart("files", sent)
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    assert [part.get_param("name", header="content-disposition") for part in message.get_payload()] == ["files"] * 3
    received = [part.get_payload(decode=True) for part in message.get_payload()]
    assert [data[:64] for data in received] == [clip.data[:64] for clip in sent]
    assert sum(body.count(clip.data) for clip in sent) == 3


def test_what_is_hidden_from_the_service_is_not_a_requirement_of_it() -> None:
    folder = Path(__file__).parent.parent / "requirements"
    service, development = ((folder / name).read_text() for name in ("service.txt", "dev.txt"))
    for distribution in HIDDEN.values():
        assert f"\n{distribution}==" not in service
        assert f"\n{distribution}==" in development


# Statistics -------------------------------------------------------------------------------------------------


def test_a_spread_is_the_median_and_the_range() -> None:
    assert stats.spread([3.0, 1.0, 2.0]) == stats.Spread(2.0, 1.0, 3.0)
    assert stats.spread([4.0, 1.0]) == stats.Spread(2.5, 1.0, 4.0)
    assert f"{stats.spread([1.0, 2.0, 4.0]):.1f}" == "2.0 (1.0 to 4.0)"
    with pytest.raises(ValueError, match="at least one"):
        stats.spread([])


def test_ratios_are_of_rounds() -> None:
    assert stats.ratios([10.0, 30.0], [1.0, 2.0]) == [10.0, 15.0]  # the ratio of the means would be 13.3
    with pytest.raises(ValueError, match="shorter"):
        stats.ratios([1.0, 2.0], [1.0])


def test_percentiles_are_in_milliseconds() -> None:
    latencies = [number / 1000 for number in range(101)]
    assert stats.percentile_ms(latencies, 50) == pytest.approx(50)
    assert stats.percentile_ms(latencies, 99) == pytest.approx(99)


def test_growth_tells_linear_from_quadratic() -> None:
    lengths = [1.0, 10.0, 100.0]
    assert stats.growth(lengths, [0.5 * length for length in lengths]) == pytest.approx(1)
    assert stats.growth(lengths, [0.1 * length**2 for length in lengths]) == pytest.approx(2)


def test_costs_of_a_request_are_over_those_that_succeeded() -> None:
    loads = Loads()
    outcome = load.Outcome([0.1, 0.1, 0.1, 0.1], errors=6, elapsed_seconds=2.0, cpu_seconds=0.004)
    loads.add(outcome, server_cpu_seconds=0.8)
    loads.add(load.Outcome([0.1], errors=1, elapsed_seconds=0.5, cpu_seconds=0.002), server_cpu_seconds=0.3)
    assert loads.throughput == [2.0, 2.0]
    assert loads.server_cpu_ms == pytest.approx([200, 300])
    assert loads.client_cpu_ms == pytest.approx([1, 2])
    assert loads.errors == 7


def test_a_server_that_answers_nothing_stops_the_benchmark(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    gone, case = Server("ours", url, os.getpid(), 0.0), Case("pcm16", 1, ("ours",))
    with pytest.raises(RuntimeError, match="no answer from 'ours'"):
        rounds.one_load(gone, case, clips.encoded(seconds=0.1), Loads(), seconds=0.1, folder=tmp_path)


# The client -------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}"
CUT_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}"
NO_LENGTH = b"HTTP/1.1 200 OK\r\n\r\n{}"


async def _load(answers: Iterator[bytes], *, connections: int) -> tuple[load.Outcome, list[bytes]]:
    """What the client makes of a server that gives these answers in turn, and what that was sent."""
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                bodies.append(await reader.readexactly(length))
                answer = next(answers)
                writer.write(answer)
                if answer in {CUT_SHORT, NO_LENGTH}:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        target = load.Target(f"http://127.0.0.1:{port}/detect", "audio/wav", b"some audio")
        outcome = await load.load(target, connections=connections, seconds=0.3)
        await asyncio.sleep(0.01)
    return outcome, bodies


@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.parametrize("fault", [BUSY, CUT_SHORT, NO_LENGTH], ids=["503", "cut short", "no length"])
def test_the_client_counts_errors_as_errors(fault: bytes, connections: int) -> None:
    given: list[bytes] = []

    def answers() -> Iterator[bytes]:
        for answer in itertools.cycle([OK, fault, OK]):
            given.append(answer)
            yield answer

    outcome, bodies = asyncio.run(_load(answers(), connections=connections))
    assert set(bodies) == {b"some audio"}
    assert outcome.errors == given.count(fault) > 0
    assert len(outcome.latencies) == given.count(OK) > 0
    assert outcome.throughput == pytest.approx(given.count(OK) / outcome.elapsed_seconds)


def test_a_server_that_is_not_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    target = load.Target(f"http://127.0.0.1:{port}/detect", "audio/wav", b"")
    outcome = asyncio.run(load.load(target, connections=2, seconds=0.1))
    assert outcome.errors >= 2
    assert outcome.latencies == []
    assert outcome.throughput == 0


# The report -------------------------------------------------------------------------------------------------


def _results(*, ours: list[float], errors: int = 0, rss_mb: float = 700.0) -> Results:
    case = Case("pcm16", 8, ("ours", "obvious"))
    figures = {"server_cpu_ms": [8.0, 9.0, 8.0], "client_cpu_ms": [0.1], "latencies": [0.06], "others_share": [0.0]}
    loads = {
        "ours": Loads(throughput=ours, errors=errors, **figures),
        "obvious": Loads(throughput=[10.0, 10.0, 20.0], **figures),
    }
    start, memory = Start(7.0, 7.1), {"ours": Memory(rss_mb, 400.0), "obvious": Memory(900.0, 800.0)}
    lengths = [Length(seconds, 1e-4 * seconds, 3e-3 * seconds, 0.5 * seconds) for seconds in (1.0, 10.0, 60.0)]
    costs = Costs(model_clips_per_second=200.0, lengths=lengths)
    starts = {"ours": [start, start], "obvious": [start]}
    return Results({"cores": "2"}, "simple_cnn@1", 1e-6, starts, {case: loads}, memory, [100.0, 120.0, 110.0], costs)


def test_goals_are_met_or_missed() -> None:
    assert [goal.met for goal in _results(ours=[100.0, 120.0, 230.0]).goals()] == [True] * 4
    slow = _results(ours=[90.0, 90.0, 230.0], errors=1, rss_mb=801.0)
    assert [goal.met for goal in slow.goals()] == [False, False, True, False]


def test_the_report_is_written(tmp_path: Path) -> None:
    report.write(_results(ours=[100.0, 120.0, 230.0]), tmp_path)
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| throughput at 8 clients, ours / obvious | ≥ 10 | 11.50 (10.00 to 12.00) | met |" in text
    assert "110 (100 to 120) clips/s, 55 % of the 200" in text
    assert "to the power of 1.00" in text
    assert json.loads((tmp_path / "results.json").read_text())["loads"][0]["throughput"] == [100.0, 120.0, 230.0]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("throughput.png", "lengths.png"))


@pytest.mark.parametrize(("share", "quiet"), [(0.05, True), (0.4, False)])
def test_a_run_beside_others_says_so(share: float, quiet: bool) -> None:
    results = _results(ours=[100.0, 120.0, 230.0])
    for loads in next(iter(results.loads.values())).values():
        loads.others_share = [share]
    assert ("not a quiet machine" in "\n".join(report.markdown(results))) is not quiet


# Overload ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [False, True])
def test_arrivals_come_at_their_times_whatever_is_answered(fault: bool) -> None:
    answers = itertools.cycle([OK, BUSY.replace(b"503", b"429")])

    async def scenario() -> Arrivals:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer), suppress(asyncio.IncompleteReadError, OSError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                    if fault:
                        break
                    await asyncio.sleep(0.05)
                    writer.write(next(answers))

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            target = load.Target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", "audio/wav", b"audio")
            found = await arrive(target, rate=200.0, seconds=0.5)
            server.close()
            await server.wait_closed()
            await asyncio.sleep(0.2)
            return found

    found = asyncio.run(scenario())
    sent = len(found.late_seconds)
    assert 50 < sent < 200  # of a hundred, on average
    if fault:
        assert (found.lost, found.seconds) == (sent, {})
    else:
        assert (found.lost, found.unsent, found.seconds.keys()) == (0, 0, {"200", "429"})
        assert sum(len(seconds) for seconds in found.seconds.values()) == sent
        assert min(seconds for each in found.seconds.values() for seconds in each) >= 0.05


def _overload(**changes: object) -> dict[str, object]:
    percentiles = {"p50": 1.0, "p99": 5.0, "max": 900.0}
    load_ = {
        "capacity": [100.0, 110.0],
        "offered": 1_000.0,
        "answered": 95.0,
        "statuses": {"200": 950, "429": 9_050},
        "lost": 0,
        "unsent": 0,
        "admitted_ms": percentiles,
        "shed_ms": percentiles,
        "client_late_ms": percentiles,
        "probes_ms": {"/metrics": percentiles},
        "probes_failed": 0,
        **changes,
    }
    return {"seconds": 10.0, "overload": load_, "switches": {"switches": 20, "failed": 0}}


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"answered": 94.0}, [3]),
        ({"statuses": {"200": 950, "429": 9_049, "500": 1}}, [0]),
        ({"lost": 1}, [0]),
        ({"shed_ms": {"p50": 1.0, "p99": 101.0, "max": 102.0}}, [1]),
        ({"admitted_ms": {"p50": 1.0, "p99": 101.0, "max": 10_001.0}}, [2]),
        ({"probes_ms": {"/metrics": {"p50": 1.0, "p99": 51.0, "max": 52.0}}}, [4]),
        ({"probes_failed": 1}, [4]),
    ],
)
def test_promises_under_overload_are_met_or_missed(changes: dict[str, object], missed: list[int]) -> None:
    found = _overload(**changes)
    assert [place for place, goal in enumerate(overload.goals(found)) if not goal.met] == missed
    assert overload.table(found).count("| missed |") == len(missed)


def test_a_service_at_several_times_what_it_can_do(store: Path, tmp_path: Path) -> None:
    """A short run, of a small model, on whatever machine: how fast it is is not asked."""
    (tmp_path / "clip").write_bytes(clips.encoded(seconds=2.0)["ulaw"].data)
    settings = {"BONAFIDE_RUNTIME": "onnx", "BONAFIDE_MAX_QUEUE_CLIPS": "20", "BONAFIDE_DEADLINE_SECONDS": "60"}
    with servers.ours(store, "simple_cnn", log=tmp_path / "log", settings=settings) as server:
        found = overload.overload(server, tmp_path / "clip", seconds=1.0, times=4.0)
    assert set(found["statuses"]) <= {"200", "429"}
    assert found["statuses"]["200"] > 0
    assert (found["lost"], found["probes_failed"]) == (0, 0)
