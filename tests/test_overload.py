"""More than can be done, over HTTP: who is refused, how fast, and who is let through."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from model_store.detector import Detector
from service import gate
from service.gate import Gate
from service.telemetry import Telemetry
from tests.serving import Client, serving
from tests.signals import clip, speech
from tests.test_problems import check

CLIP = clip(speech(seconds=1.5, sample_rate=8_000), sample_rate=8_000)


class Stopped:
    """Calls of detectors that stand still until told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on, self.begun = Event(), Event()
        usual = Detector.logits

        def held(detector: Detector, windows: Any) -> Any:
            self.begun.set()
            self.go_on.wait(30)
            return usual(detector, windows)

        monkeypatch.setattr(Detector, "logits", held)


@contextmanager
def full(store: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[tuple[Client, Stopped]]:
    """A service all of whose places are taken."""
    with (
        serving(store, max_queue_clips=2, **settings) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        stopped = Stopped(monkeypatch)
        first = [pool.submit(client.post, "/detect", content=CLIP) for _ in range(2)]
        while client.app.state.admission.clips < 2:
            time.sleep(0.01)
        try:
            yield client, stopped
        finally:
            stopped.go_on.set()
        assert [one.result().status_code for one in first] == [200, 200]


def left_in_work(client: Client) -> int:
    """How many clips have a place, once none has or ten seconds have passed: one is given back after the answer."""
    patience = time.monotonic() + 10
    while (clips := client.app.state.admission.clips) and time.monotonic() < patience:
        time.sleep(0.01)
    return int(clips)


def test_what_is_refused_is_refused_before_its_body_is_there(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> Iterator[bytes]:
        yield CLIP[:1_000]
        time.sleep(2)
        yield CLIP[1_000:]

    with full(store, monkeypatch) as (client, _):
        begun = time.monotonic()
        with client.stream("POST", "/detect", content=CLIP) as answer:
            assert answer.status_code == 429
        assert time.monotonic() - begun < 2
        answer = client.post("/detect", content=body())
        check(answer, "overloaded")
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        metrics = client.get("/metrics").text
        assert 'bonafide_request_seconds_count{route="/detect",status="429"} 2.0' in metrics
        assert 'bonafide_errors_total{code="overloaded"} 2.0' in metrics
        assert client.post("/detect", content=CLIP).status_code == 429  # on a connection that goes on


def test_what_comes_together_is_refused_together(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("service.gate.time", SimpleNamespace(monotonic=time.monotonic, sleep=pauses.append))
    head = f"POST /detect HTTP/1.1\r\nHost: a\r\nContent-Length: {len(CLIP)}\r\n\r\n"
    with full(store, monkeypatch) as (client, _):
        address = client.base_url.host, client.base_url.port or 0
        with socket.create_connection(address, timeout=30) as connection:
            for times in range(3):  # not the first time that it refuses after it was connected, and then again
                connection.sendall(5 * (head.encode() + CLIP))
                received = b""
                while received.count(b"HTTP/1.1 429") < 5:
                    received += connection.recv(65_536)
                time.sleep(0.05)
                assert times <= len(pauses) <= 4 * times + 4


@pytest.mark.parametrize(
    ("wait", "pause"),
    [(0.0, 0.0), (0.1, 0.002), (0.5, 0.01), (5.0, 0.012)],
    ids=["unknown", "few or fast", "one core", "slow"],
)
def test_a_pause_is_a_small_part_of_the_wait(monkeypatch: pytest.MonkeyPatch, wait: float, pause: float) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("service.gate.time", SimpleNamespace(monotonic=time.monotonic, sleep=pauses.append))
    admission: Any = SimpleNamespace(rule="", try_place=lambda _: None, wait_seconds=lambda: wait)

    async def turns() -> None:
        gate = Gate(admission, Telemetry())
        for hurried in (False, True, False):
            if hurried:
                gate.hurry()
            for _ in range(3):
                assert gate.reserve("1") is None
            await asyncio.sleep(0)

    asyncio.run(turns())
    assert pauses == pytest.approx([pause, pause])


def test_a_place_is_of_the_declared_length_and_kept_once_the_body_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_KEPT_SECONDS", 0.0)
    sizes: list[int] = []
    place = SimpleNamespace(leave=lambda: None)
    admission: Any = SimpleNamespace(rule="", try_place=lambda size: sizes.append(size) or place)

    async def turns() -> list[bool]:
        kept, slow, unknown = (Gate(admission, Telemetry()).reserve(declared) for declared in ("321", "7", "1e3"))
        assert kept
        assert slow
        assert unknown
        kept.arrived()
        await asyncio.sleep(0.01)
        return [one.claim() is not None for one in (kept, slow, unknown)]

    assert asyncio.run(turns()) == [True, False, False]
    assert sizes == [321, 7, 0]


def test_whoever_is_not_to_be_refused_is_hurried(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurried: list[Gate] = []

    def hurry(gate: Gate) -> None:
        hurried.append(gate)

    monkeypatch.setattr(Gate, "hurry", hurry)
    counts = []
    with full(store, monkeypatch) as (client, _):
        connection = HTTPConnection(client.base_url.host, client.base_url.port or 0, timeout=30)
        for method, path, status in (("GET", "/health/live", 200), ("POST", "/detect", 429), ("GET", "/metrics", 200)):
            before = len(hurried)
            connection.request(method, path, CLIP if method == "POST" else None)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
            counts.append(len(hurried) - before)
        connection.close()
    assert counts == [2, 0, 1]  # the first has connected, too


def test_what_was_refused_unparsed_is_read_past(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = f"POST /detect HTTP/1.1\r\nHost: a\r\nX-Request-ID: plain-1\r\nContent-Length: {len(CLIP)}\r\n\r\n"
    with full(store, monkeypatch) as (client, _):
        address = client.base_url.host, client.base_url.port or 0
        with socket.create_connection(address, timeout=30) as connection:
            for part in (head.encode() + CLIP[:10], CLIP[10:5_000], CLIP[5_000:] + b"GET /health/live HTTP/1.1\r\n"):
                connection.sendall(part)
                time.sleep(0.05)
            connection.sendall(b"Host: a\r\n\r\n")
            received = b""
            while not received.endswith(b'{"status":"alive"}'):
                received += connection.recv(65_536)
    refused, alive = received.split(b"HTTP/1.1 ")[1:]
    assert refused.startswith(b"429 ")
    assert b"\r\nX-Request-ID: plain-1\r\n" in refused
    assert alive.startswith(b"200 ")


def test_a_plain_clip_takes_one_place(store: Path) -> None:
    head = f"POST /detect HTTP/1.1\r\nHost: a\r\nContent-Type: audio/wav\r\nContent-Length: {len(CLIP)}\r\n\r\n"
    with serving(store, max_queue_clips=1) as client:
        address = client.base_url.host, client.base_url.port or 0
        for _ in range(2):
            with socket.create_connection(address, timeout=30) as connection:
                connection.sendall(head.encode() + CLIP)
                assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_health_and_metrics_do_not_ask_for_a_place(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with full(store, monkeypatch) as (client, _):
        for path in ("/health/live", "/health/ready", "/metrics", "/models"):
            assert client.get(path).status_code == 200
        check(client.get("/detect"), "method_not_allowed")
        assert "bonafide_queue_clips 2.0" in client.get("/metrics").text


def test_a_body_that_is_slow_keeps_no_place(store: Path) -> None:
    with serving(store, max_queue_clips=1) as client:
        seen = []

        def body() -> Iterator[bytes]:
            yield CLIP[:1_000]
            time.sleep(0.1)
            seen.append(client.app.state.admission.clips)
            seen.append(left_in_work(client))
            yield CLIP[1_000:]

        assert client.post("/detect", content=body()).status_code == 200
        assert seen == [1, 0]
        assert left_in_work(client) == 0


def test_whoever_is_refused_for_another_reason_gives_the_place_back(store: Path) -> None:
    with serving(store, max_queue_clips=1) as client:
        for _ in range(3):
            assert client.post("/detect?threshold=high", content=CLIP).status_code == 422
            assert client.post("/detect?model=another", content=CLIP).status_code == 404
            assert client.post("/detect", content=b"not audio").status_code == 415
        assert client.post("/detect", content=CLIP).status_code == 200


def test_all_bodies_together_are_bounded(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(CLIP)
    with serving(store, max_bodies_bytes=int(1.5 * size)) as client, ThreadPoolExecutor(1) as pool:
        assert (
            client.post("/detect", content=CLIP + bytes(size)).status_code == 200
        )  # alone, it is not measured by that
        stopped = Stopped(monkeypatch)
        first = pool.submit(client.post, "/detect", content=CLIP)
        assert stopped.begun.wait(10)
        answer = client.post("/batch", files={"files": CLIP})
        assert "bodies of all requests" in check(answer, "overloaded")["detail"]
        stopped.go_on.set()
        assert first.result().status_code == 200
        assert client.post("/batch", files={"files": CLIP}).status_code == 200


def test_batches_are_bounded(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(store, max_batches=1) as client, ThreadPoolExecutor(1) as pool:
        stopped = Stopped(monkeypatch)
        for headers in ({}, {"Accept": "application/x-ndjson"}):
            stopped.go_on.clear()
            stopped.begun.clear()
            first = pool.submit(client.post, "/batch", files={"files": CLIP}, headers=headers)
            assert stopped.begun.wait(10)
            check(client.post("/batch", files={"files": CLIP}, headers=headers), "overloaded")
            stopped.go_on.set()
            assert first.result().status_code == 200
            assert '"problem":null' in first.result().text


def test_a_batch_of_hundreds_does_not_stop_single_clips(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Detector.logits

    def slow(detector: Detector, windows: Any) -> Any:
        time.sleep(0.02)
        return usual(detector, windows)

    with serving(store, max_queue_clips=8) as client, ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(Detector, "logits", slow)
        bulk = pool.submit(client.post, "/batch", files=[("files", CLIP)] * 200)
        while client.app.state.admission.clips < 4:
            time.sleep(0.01)
        singles = [client.post("/detect", content=CLIP).status_code for _ in range(10)]
        before = bulk.done()
        assert singles == [200] * 10
        assert not before
        assert all(item["result"] for item in bulk.result().json()["results"])


def test_what_waits_past_its_deadline_is_not_scored(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    with serving(store, deadline_seconds=0.5, threads=1) as client, ThreadPoolExecutor(3) as pool:
        stopped = Stopped(monkeypatch)
        held = Detector.logits

        def counted(detector: Detector, windows: Any) -> Any:
            calls.append(len(windows))
            return held(detector, windows)

        monkeypatch.setattr(Detector, "logits", counted)
        answers = [pool.submit(client.post, "/detect", content=CLIP)]
        assert stopped.begun.wait(10)
        answers += [pool.submit(client.post, "/detect", content=CLIP) for _ in range(2)]
        for answer in answers:
            check(answer.result(), "deadline_exceeded")
        assert client.app.state.admission.clips == 1  # what is in the call
        stopped.go_on.set()
        assert client.post("/detect", content=CLIP).status_code == 200
        assert len(calls) == 2
        assert left_in_work(client) == 0


def test_the_lines_of_a_batch_are_those_of_its_list(client: Client) -> None:
    files = [("files", CLIP), ("files", b"not audio"), ("files", CLIP)]
    whole = client.post("/batch", files=files)
    lines = client.post("/batch", files=files, headers={"Accept": "application/x-ndjson"})
    items = sorted((json.loads(line) for line in lines.text.splitlines()), key=lambda item: int(item["index"]))
    assert [item["index"] for item in whole.json()["results"]] == [0, 1, 2]
    for one, other in zip(whole.json()["results"], items, strict=True):
        assert list(one) == list(other) == ["index", "result", "problem"]
        assert (one["result"] is None) == (other["result"] is None)
    assert whole.json()["request_id"] == whole.headers["X-Request-ID"]


def test_a_draining_service_closes_its_connections(store: Path) -> None:
    with serving(store) as client:
        assert "Connection" not in client.get("/health/live").headers
        client.app.state.draining = True
        for _ in range(2):  # the second has to connect anew
            answer = client.post("/detect", content=CLIP)
            assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
        client.app.state.draining = False
        with pytest.raises(httpx.HTTPStatusError):
            client.get("/nowhere").raise_for_status()
