"""Who is refused for want of a place: the same answer by every way, in its turn, and on a connection that lasts."""

import asyncio
import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import keys
from service.middleware import SECURITY_HEADERS
from service.protocol import Protocol
from tests.serving import Client, serving
from tests.signals import clip, speech
from tests.test_problems import check

CLIP = clip(speech(seconds=1, sample_rate=8_000), sample_rate=8_000)
LARGE = bytes(24 << 20)  # more than the buffers of a connection hold


def head(size: int, *lines: str, version: str = "1.1", path: str = "/detect") -> bytes:
    fields = ["Host: here", f"Content-Length: {size}", *lines]
    return "\r\n".join([f"POST {path} HTTP/{version}", *fields, "", ""]).encode()


@contextmanager
def full(light_store: Path, **settings: Any) -> Iterator[Client]:
    """A service all of whose places are taken."""
    with serving(light_store, models="light", runtime="onnx", max_queue_clips=2, **settings) as client:
        held = [client.app.state.admission.place(0) for _ in range(2)]
        yield client
        for place in held:
            place.leave()


@pytest.fixture(scope="module")
def busy(light_store: Path) -> Iterator[Client]:
    with full(light_store) as client:
        yield client


def connect(client: Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20)


def read(connection: socket.socket) -> httpx.Response:
    """The next answer, alone."""
    found = http.client.HTTPResponse(connection, method="POST")
    found.begin()
    return httpx.Response(found.status, headers=found.getheaders(), content=found.read())


def plain(answer: httpx.Response) -> dict[str, object]:
    """What does not differ from one request to the next."""
    differs = {"date", "x-request-id"}
    return {
        "status": answer.status_code,
        "headers": sorted((name, value) for name, value in answer.headers.items() if name not in differs),
        "problem": answer.json() | {"request_id": ""},
        "order": list(answer.json()),
    }


def counted(client: Client) -> list[str]:
    wanted = ('request_seconds_count{route="/detect",status="429"}', 'errors_total{code="overloaded"}')
    return [line.split()[-1] for line in client.get("/metrics").text.splitlines() if any(one in line for one in wanted)]


def test_a_refusal_is_the_same_by_every_way(light_store: Path) -> None:
    with full(light_store) as client:
        at_once = client.post("/detect?channel=0", content=CLIP)
        check(at_once, "overloaded")
        assert {name: at_once.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert at_once.headers["Retry-After"] == "1"
        assert counted(client) == ["1.0", "1.0"]
        through_the_app = client.post("/%64etect?channel=0", content=CLIP)  # the same path, otherwise spelled
        assert plain(through_the_app) == plain(at_once)
        assert counted(client) == ["2.0", "2.0"]
        assert client.post("/detect", content=CLIP, headers={"X-Request-ID": "mine-1"}).json()["request_id"] == "mine-1"
        given = client.post("/detect", content=CLIP, headers={"X-Request-ID": 'no"id'})
        assert given.json()["request_id"] == given.headers["X-Request-ID"] != 'no"id'


def test_a_key_makes_no_difference_to_a_refusal(light_store: Path, tmp_path: Path) -> None:
    _, key = keys.make(tmp_path / "keys.json", client="ivr", scopes=("detect",))
    with full(light_store, keys=tmp_path / "keys.json") as client:
        answers = [
            client.post("/detect", content=CLIP, headers=headers)
            for headers in ({}, {"X-API-Key": "no key"}, {"X-API-Key": key})
        ]
        assert [plain(answer) for answer in answers] == [plain(answers[0])] * 3
        check(answers[0], "overloaded")
        check(client.post("/batch", content=CLIP), "missing_key")


def test_who_is_still_sending_sees_the_refusal_and_may_go_on(busy: Client) -> None:
    with connect(busy) as connection:
        for _ in range(2):
            connection.sendall(head(len(LARGE)) + LARGE)
            check(read(connection), "overloaded")
        connection.sendall(head(len(CLIP)))
        check(read(connection), "overloaded")
        connection.sendall(CLIP[:100])
        connection.sendall(CLIP[100:] + b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n")
        assert read(connection).status_code == 200


@pytest.mark.parametrize("sent", [head(len(LARGE), "Connection: close"), head(len(LARGE), version="1.0")])
def test_a_connection_is_closed_when_the_body_is_there(
    busy: Client, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> httpx.Response:
        with connect(busy) as connection:
            connection.sendall(sent + LARGE)
            answer, read_at = read(connection), time.monotonic()
            assert connection.recv(1) == b""
            assert time.monotonic() - read_at < 2  # long before it would be for want of a next request
            return answer

    answer = refused()
    check(answer, "overloaded")
    assert answer.headers["Connection"] == "close"
    usual = Protocol._refuse

    def closing(protocol: Protocol, given: str) -> None:
        usual(protocol, given)
        protocol.transport.close()

    monkeypatch.setattr(Protocol, "_refuse", closing)
    with pytest.raises(OSError, match=r"reset|[Bb]roken"):  # the client sees no answer then
        refused()


def test_refusals_of_requests_sent_together_come_in_turn(busy: Client) -> None:
    chunked = b"POST /detect HTTP/1.1\r\nHost: here\r\nX-Request-ID: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(busy) as connection:
        first, third = (head(len(CLIP), f"X-Request-ID: {number}") + CLIP for number in (1, 3))
        connection.sendall(first + chunked + b"4\r\nRIFF\r\n0\r\n\r\n" + third)
        together = b""
        while together.count(b'"request_id"') < 3:
            together += connection.recv(4096)
    assert [together.index(b'"request_id":"%d"' % number) for number in (1, 2, 3)] == sorted(
        together.index(b'"request_id":"%d"' % number) for number in (1, 2, 3)
    )
    assert together.count(b"HTTP/1.1 429 ") == 3


def test_no_refusal_overtakes_an_answer(light_store: Path) -> None:
    """The second request of a connection is not answered before the first, though there is no place for it yet.

    Its turn comes when the first has its answer; whether the place is free by then is a matter of microseconds.
    """
    with serving(light_store, models="light", runtime="onnx", max_queue_clips=1) as client, connect(client) as both:
        both.sendall((head(len(CLIP)) + CLIP) * 2)
        received = b""
        while received.count(b"HTTP/1.1 ") < 2 or not received.endswith(b"}"):
            received += both.recv(1 << 16)
        assert received.startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are kept alive for 0.2 s."""
    usual = Protocol.data_received

    def received(protocol: Protocol, data: bytes) -> None:
        protocol.timeout_keep_alive = 0.2  # type: ignore[assignment]
        usual(protocol, data)

    monkeypatch.setattr(Protocol, "data_received", received)


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_says_no_more_is_closed(busy: Client) -> None:
    for body in (CLIP, CLIP[:100]):
        with connect(busy) as connection:
            connection.sendall(head(len(CLIP)) + body)
            check(read(connection), "overloaded")
            begun = time.monotonic()
            assert connection.recv(1) == b""
            assert time.monotonic() - begun > 0.1


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_says_more_is_heard_out(light_store: Path) -> None:
    with serving(light_store, models="light", runtime="onnx") as client, connect(client) as connection:
        for _ in range(2):
            connection.sendall(b"GET /health/live HTTP/1.1\r\n")
            time.sleep(0.3)
            connection.sendall(b"Host: here\r\n\r\n")
            assert read(connection).status_code == 200


def test_a_draining_service_refuses_and_closes(light_store: Path) -> None:
    with full(light_store) as client:
        client.app.state.draining = True
        answer = client.post("/detect", content=CLIP)
        check(answer, "overloaded")
        assert answer.headers["Connection"] == "close"


def test_who_reads_no_refusals_is_not_read_from(busy: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what it was answered would pile up in memory: 40 MB within seconds."""
    made: list[asyncio.Transport] = []
    usual = Protocol.connection_made

    def noted(protocol: Protocol, transport: asyncio.Transport) -> None:
        made.append(transport)
        usual(protocol, transport)

    monkeypatch.setattr(Protocol, "connection_made", noted)
    with connect(busy) as deaf:
        deaf.setblocking(False)
        some, since = head(0) * 500, time.monotonic()
        while time.monotonic() - since < 0.5:
            try:
                deaf.send(some)
                since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        [transport] = made
        assert 0 < transport.get_write_buffer_size() < 1 << 20
