"""What is answered before there is a request: in the one shape of errors, and soon."""

import http.client
import logging
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service import protocol
from service.middleware import SECURITY_HEADERS
from service.protocol import MAX_HEAD_BYTES, Protocol
from tests.serving import Client, serving
from tests.signals import clip, speech
from tests.test_problems import check

CLIP = clip(speech(seconds=1, sample_rate=8_000), sample_rate=8_000)
GET = b"GET /health/live HTTP/1.1\r\nHost: here\r\n"


@pytest.fixture(scope="module")
def light(light_store: Path) -> Iterator[Client]:
    with serving(light_store, models="light", runtime="onnx") as client:
        yield client


def answer(client: Client, *sent: bytes) -> httpx.Response:
    """What a connection is answered, up to the end of the first answer."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        for part in sent:
            try:
                connection.sendall(part)
            except OSError:  # it has said enough
                break
        found = http.client.HTTPResponse(connection, method="GET")
        found.begin()
        return httpx.Response(found.status, headers=found.getheaders(), content=found.read())


@pytest.mark.parametrize(
    "sent",
    [
        b"no HTTP at all\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),  # TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        GET + b"Bad Header: x\r\n\r\n",
        GET + b"X: a\x00b\r\n\r\n",
        GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        GET + b"Content-Length: -1\r\n\r\n",
        GET + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: here\r\n\r\n",
        b"CONNECT here:443 HTTP/1.1\r\nHost: here\r\n\r\n",
        b"CONNECT /detect HTTP/1.1\r\nHost: here\r\n\r\n" + GET + b"\r\n",
        b"POST /detect HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
    ids=range(13),
)
def test_bytes_that_are_no_http_are_a_problem(light: Client, sent: bytes) -> None:
    found = answer(light, sent)
    check(found, "malformed_request")
    assert {name: found.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert found.headers["Connection"] == "close"


def answers(client: Client, *sent: bytes) -> list[bytes]:
    """All that a connection is answered, up to its end: the last request asks for it. A part goes after a moment."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        for part in sent:
            connection.sendall(part)
            time.sleep(0.05)
        received = b""
        while more := connection.recv(1 << 16):
            received += more
        return re.findall(rb"HTTP/1\.1 (\d+) ", received)


H2C = b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"  # the JDK's
WEBSOCKET = b"Upgrade: websocket\r\nconnection: upgrade\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n"
LAST = GET + b"Connection: close\r\n\r\n"


@pytest.mark.parametrize("upgrade", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upgrade_is_ignored(light: Client, upgrade: bytes, chunked: bool) -> None:
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(CLIP)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(CLIP), CLIP) if chunked else CLIP
    head = b"POST /detect?explain=true HTTP/1.1\r\nHost: here\r\n" + upgrade + framing + b"\r\n\r\n"
    assert answers(light, head + body + LAST) == [b"200", b"200"]
    assert answers(light, head, body, LAST) == [b"200", b"200"]
    assert answers(light, head[:60], head[60:-3], head[-3:] + body[:9], body[9:] + head + body + LAST) == [b"200"] * 3
    check(answer(light, head.replace(b"/detect", b"/nowhere") + body), "not_found")
    last = head.replace(b"onnection: ", b"onnection: close, ")
    assert answers(light, last + body + LAST) == answers(light, last, body) == [b"200"]
    if not chunked:
        assert answers(light, head.replace(b"HTTP/1.1", b"HTTP/1.0") + body) == [b"200"]


def test_a_websocket_is_answered_as_a_request(light: Client, caplog: pytest.LogCaptureFixture) -> None:
    for logger in ("bonafide", "uvicorn.error"):  # those of the process
        caplog.set_level(logging.INFO, logger)
    found = answer(light, b"GET /private?name=private HTTP/1.1\r\nHost: here\r\n" + WEBSOCKET + b"\r\n")
    check(found, "not_found")
    assert {name: found.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    patience = time.monotonic() + 30
    while "request" not in caplog.text:  # a line that is written after the answer
        assert time.monotonic() < patience
        time.sleep(0.01)
    assert "private" not in caplog.text


def test_a_body_after_an_upgrade_is_no_request(light: Client) -> None:
    head = b"POST /detect HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n" % len(LAST)
    for sent in ((head + H2C + b"\r\n" + LAST,), (head + H2C + b"\r\n", LAST)):
        check(answer(light, *sent), "unsupported_format")
        assert answers(light, *sent, LAST) == [b"415", b"200"]


def test_a_head_without_an_end_is_ended(light: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = (b"GET /health/live HTTP/1.1\r\nHost: here\r\n", b"X: ", *[b"x" * 1_000_000] * 20)
    assert "Received: more" in check(answer(light, *endless), "malformed_request")["detail"]
    many = (GET, *[b"X: y\r\n" * 10_000] * 100)
    check(answer(light, *many), "malformed_request")
    assert answer(light, GET, b"X: " + b"x" * (MAX_HEAD_BYTES // 2), b"\r\n\r\n").status_code == 200
    monkeypatch.setattr(protocol, "MAX_HEAD_BYTES", 1 << 40)
    assert answer(light, *endless, b"\r\n\r\n").status_code == 200  # 20 MB of headers, as uvicorn would have them


def test_a_body_is_not_a_head(light: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_HEAD_BYTES", 10)
    post = b"POST /detect HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(CLIP)
    assert answer(light, post, CLIP[:9_000], CLIP[9_000:]).status_code == 200
    assert light.post("/detect", content=CLIP).status_code == 200  # a connection that is kept begins anew each time
    assert light.post("/detect", content=CLIP).status_code == 200


def test_the_process_speaks_it() -> None:
    source = (Path(__file__).parents[1] / "service/__main__.py").read_text(encoding="utf-8")
    assert f"http={Protocol.__name__}," in source
    assert 'ws="none",' in source  # else uvicorn would look for a library, for what this protocol never gives to one


_HEAD = b"POST /detect HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n"


@pytest.mark.parametrize(
    "more", [b"", b"CONNECTION: Keep-Alive\r\n", b"X-Request-ID: 1\r\nX: \xe9\r\n"], ids=["length", "usual", "id"]
)
def test_a_plain_head_is_known_unparsed(more: bytes) -> None:
    found = protocol._PLAIN.match(_HEAD + more + b"\r\nbody")
    assert found is not None
    assert (found[1], found.end()) == (b"12", len(_HEAD + more) + 2)


@pytest.mark.parametrize(
    "head",
    [
        _HEAD + b"CONTENT-length: 12\r\n\r\n",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        _HEAD + b"Transfer-Encoding : chunked\r\n\r\n",
        _HEAD + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n",
        _HEAD + b"X: a\nTransfer-Encoding: chunked\r\n\r\n",
        _HEAD + b"X: a\rTransfer-Encoding: chunked\r\n\r\n",
        _HEAD + b"Expect: 100-continue\r\n\r\n",
        _HEAD + b"Connection: close\r\n\r\n",
        _HEAD + b"Connection: keep-alive, upgrade\r\n\r\n",
        _HEAD + b"Upgrade: h2c\r\n\r\n",
        _HEAD + b"X\r\n\r\n",
        _HEAD + b"X: \0\r\n\r\n",
        _HEAD,
        _HEAD.replace(b"12", b"+12") + b"\r\n",
        _HEAD.replace(b"12", b"1 2") + b"\r\n",
        _HEAD.replace(b"12", b"9" * 19) + b"\r\n",
        _HEAD.replace(b"1.1", b"1.0") + b"\r\n",
        _HEAD.replace(b"detect", b"detects") + b"\r\n",
        _HEAD.replace(b"detect", b"DETECT") + b"\r\n",
        _HEAD.replace(b"POST", b"GET") + b"\r\n",
        _HEAD.replace(b"POST", b"post") + b"\r\n",
        _HEAD.replace(b"HTTP", b"http") + b"\r\n",
    ],
)
def test_any_other_head_is_for_the_parser(head: bytes) -> None:
    assert protocol._PLAIN.match(head) is None
