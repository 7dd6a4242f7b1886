"""Errors: one shape everywhere, a stable code, the right status, an id, and no word of a library or of the client's."""

import http.client
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from model_store.detector import Detector
from service import problems
from service.app import create_app, drain
from tests.serving import Client, serving, serving_app, settings
from tests.signals import clip, speech

CLIP = clip(speech(seconds=1, sample_rate=8_000), sample_rate=8_000)
RAW = {"Content-Type": "audio/basic"}
STEREO = clip(np.zeros((4_000, 2)), sample_rate=8_000)
CUT_MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
LONG_MULTIPART = {"Content-Type": "multipart/form-data; boundary=x" + ";" * 60_000}


def check(answer: httpx.Response, code: str) -> dict[str, Any]:
    """The one shape of an error."""
    status, title = problems.CODES[code]
    problem = dict(answer.json())
    assert list(problem) == ["type", "title", "status", "detail", "code", "request_id"]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["code"] == code, problem
    assert (problem["status"], problem["title"], problem["type"]) == (status, title, f"urn:bonafide:problem:{code}")
    assert answer.status_code == status
    assert problem["request_id"] == answer.headers["X-Request-ID"] != ""
    assert "Traceback" not in answer.text
    return problem


def file(data: bytes, name: str = "secret-name.wav") -> dict[str, Any]:
    return {"files": [("file", (name, data))]}


# code: requests that get it from a service with default settings
REQUESTS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("malformed_request", "POST", "/batch", {"content": CLIP}),
    ("malformed_request", "POST", "/detect", {"content": b"--x\r\nno", "headers": CUT_MULTIPART}),
    ("malformed_request", "POST", "/detect", {"content": b"--x--", "headers": LONG_MULTIPART}),
    ("malformed_request", "POST", "/detect", {"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}),
    ("malformed_request", "POST", "/detect", {"files": [("file", CLIP), ("file", CLIP)]}),
    ("malformed_request", "POST", "/detect", {"files": [(f"f{n}", (None, "text")) for n in range(17)]}),
    (
        "malformed_request",
        "POST",
        "/detect",
        {
            "content": b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
            "headers": {"Content-Type": "multipart/form-data; boundary=x; charset=undefined"},
        },
    ),
    ("not_found", "GET", "/nowhere", {}),
    ("not_found", "GET", "/static-offline-docs/nothing.js", {}),
    ("unknown_model", "POST", "/detect?model=another", {"content": CLIP}),
    ("unknown_model", "POST", "/detect?model=simple_cnn@2", {"content": CLIP}),
    ("unknown_model", "POST", "/detect?model=simple_cnn@01", {"content": CLIP}),
    ("unknown_model", "POST", "/detect?model=simple_cnn@1%0A", {"content": CLIP}),
    ("unknown_model", "POST", "/detect?model=../simple_cnn", {"content": CLIP}),
    ("unknown_model", "POST", "/detect?model=", {"content": CLIP}),
    ("unknown_model", "POST", "/batch?model=another", {"files": {"files": CLIP}}),
    ("unknown_model", "GET", "/models/another/versions/1", {}),
    ("unknown_model", "GET", "/models/simple_cnn/versions/2", {}),
    ("method_not_allowed", "GET", "/detect", {}),
    ("method_not_allowed", "DELETE", "/models", {}),
    ("unsupported_format", "POST", "/detect", {"content": b"not audio at all"}),
    ("unsupported_format", "POST", "/detect", file(b"not audio at all")),
    ("unsupported_format", "POST", "/detect", {"files": {"file": ("a", CLIP[44:], "audio/L16; rate*=8000; rate*0=1")}}),
    ("empty_audio", "POST", "/detect", {"content": b""}),
    ("empty_audio", "POST", "/detect", file(b"")),
    ("too_short", "POST", "/detect", {"content": bytes(100), "headers": RAW}),
    ("too_long", "POST", "/detect", {"content": bytes(8_000 * 601), "headers": RAW}),
    (
        "non_finite_samples",
        "POST",
        "/detect",
        {"content": clip(np.full(8_000, np.nan), sample_rate=8_000, codec="FLOAT")},
    ),
    ("sample_rate_out_of_range", "POST", "/detect", {"content": clip(np.zeros(999), sample_rate=999)}),
    ("too_many_channels", "POST", "/detect", {"content": clip(np.zeros((4_000, 3)), sample_rate=8_000)}),
    ("no_such_channel", "POST", "/detect?channel=1", {"content": CLIP}),
    ("undecodable", "POST", "/detect", {"content": CLIP[:30]}),
    ("invalid_parameter", "POST", "/detect?threshold=nan", {"content": CLIP}),
    ("invalid_parameter", "POST", "/detect?threshold=inf", {"content": CLIP}),
    ("invalid_parameter", "POST", "/detect?threshold=high", {"content": CLIP}),
    ("invalid_parameter", "POST", "/detect?threshold=0&operating_point=balanced", {"content": CLIP}),
    ("invalid_parameter", "POST", "/detect?operating_point=custom", {"content": CLIP}),
    ("invalid_parameter", "POST", "/detect?channel=2", {"content": STEREO}),
    ("invalid_parameter", "POST", "/detect?channel=left", {"content": STEREO}),
    ("invalid_parameter", "POST", "/detect?explain=perhaps", {"content": CLIP}),
    ("invalid_parameter", "POST", "/detect", {"files": {"another": CLIP}}),
    ("invalid_parameter", "POST", "/detect", {"files": {"file": (None, "text")}}),
    ("invalid_parameter", "POST", "/batch", {"files": {"another": CLIP}}),
    ("invalid_parameter", "POST", "/batch", {"files": [("files", CLIP), ("files", (None, "text"))]}),
    ("invalid_parameter", "GET", "/models/simple_cnn/versions/one", {}),
    ("invalid_parameter", "GET", "/models/simple_cnn/versions/0", {}),
]
KEYS = {"missing_key", "invalid_key", "missing_scope", "rate_limited"}  # test_access
TRAIL = {"audit_unavailable"}  # test_audit_trail
ELSEWHERE = (
    {"body_too_large", "overloaded", "internal_error", "not_ready", "deadline_exceeded"} | KEYS | TRAIL
)  # further down


@pytest.mark.parametrize(("code", "method", "path", "request_"), REQUESTS, ids=[f"{r[0]}-{r[2]}" for r in REQUESTS])
def test_every_error_has_one_shape(client: Client, code: str, method: str, path: str, request_: dict[str, Any]) -> None:
    problem = check(client.request(method, path, **request_), code)
    assert "secret-name" not in str(problem)
    assert "0x" not in problem["detail"]  # as the addresses in libsndfile's messages


def test_every_code_is_tested() -> None:
    assert {code for code, *_ in REQUESTS} | ELSEWHERE == set(problems.CODES)


def test_405_says_what_is_allowed(client: Client) -> None:
    answer = client.put("/detect")
    assert answer.headers["Allow"] == "POST"
    assert re.search(r"takes POST; .* Received: PUT\.$", check(answer, "method_not_allowed")["detail"])
    for path in ("/static-offline-docs/favicon.png", "/models"):
        answer = client.post(path)
        assert answer.headers["Allow"] == "GET, HEAD"
        assert re.search(r"takes GET, HEAD; .* Received: POST\.$", check(answer, "method_not_allowed")["detail"])


@pytest.mark.parametrize("wanted", ["bytes=abc", "bytes=5-2", "bytes=99999999-", "lines=1-2"])
def test_a_range_that_is_none_is_told(client: Client, wanted: str) -> None:
    answer = client.get("/static-offline-docs/favicon.png", headers={"Range": wanted})
    assert check(answer, "malformed_request")["detail"].endswith(f"Received: {wanted!r}.")


# Size and time of a body


@pytest.fixture(scope="module")
def strict(store: Path) -> Iterator[Client]:
    with serving(store, max_body_bytes=40_000, body_seconds=0.5) as client:
        yield client


@pytest.mark.parametrize("path", ["/detect", "/batch"])
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_over_the_limit_is_refused(strict: Client, path: str, chunked: bool) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + bytes(1_000_000)
    content = (body[at : at + 10_000] for at in range(0, len(body), 10_000)) if chunked else body
    answer = strict.post(path, content=content, headers=CUT_MULTIPART)
    assert "40000 bytes" in check(answer, "body_too_large")["detail"]


def test_a_body_within_the_limit_is_taken(strict: Client) -> None:
    assert strict.post("/detect", content=iter([CLIP])).status_code == 200
    assert strict.post("/detect", content=CLIP + bytes(40_000 - len(CLIP))).status_code == 200


def test_a_declared_length_is_refused_before_the_body_is_sent(strict: Client) -> None:
    connection = http.client.HTTPConnection(strict.base_url.host, strict.base_url.port, timeout=10)
    connection.putrequest("POST", "/detect")
    connection.putheader("Content-Length", "1000000000")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_that_does_not_arrive_is_not_waited_for(strict: Client) -> None:
    connection = http.client.HTTPConnection(strict.base_url.host, strict.base_url.port, timeout=10)
    connection.putrequest("POST", "/detect")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"a part")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (504, "close")
    assert b'"deadline_exceeded"' in answer.read()
    connection.close()


# Faults, overload, deadlines


@contextmanager
def slow_detector(monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> Iterator[None]:
    usual = Detector.logits

    def slow(self: Detector, clips: Any) -> Any:
        time.sleep(seconds)
        return usual(self, clips)

    with monkeypatch.context() as patched:
        patched.setattr(Detector, "logits", slow)
        yield


def test_a_fault_of_ours_keeps_its_text_to_itself(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("secret text")

    monkeypatch.setattr(Detector, "logits", broken)
    answer = client.post("/detect", content=CLIP, headers={"X-Request-ID": "the-one"})
    assert check(answer, "internal_error")["request_id"] == "the-one"
    assert "secret text" not in answer.text
    in_batch = client.post("/batch", files={"files": CLIP}).json()["results"][0]["problem"]
    assert (in_batch["code"], in_batch["status"]) == ("internal_error", 500)
    monkeypatch.undo()
    assert client.post("/detect", content=CLIP).status_code == 200


def test_a_score_that_is_not_a_number_is_a_fault(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Detector.logits
    monkeypatch.setattr(Detector, "logits", lambda self, batch: usual(self, batch) * np.nan)
    check(client.post("/detect", content=CLIP), "internal_error")


def test_a_full_queue_answers_at_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(store, max_queue_clips=2) as client,
        slow_detector(monkeypatch, seconds=1),
        ThreadPoolExecutor(2) as pool,
    ):
        first = [pool.submit(client.post, "/detect", content=CLIP) for _ in range(2)]
        while client.app.state.admission.clips < 2:
            time.sleep(0.01)
        begun = time.monotonic()
        answer = client.post("/detect", content=CLIP)
        assert time.monotonic() - begun < 0.5
        check(answer, "overloaded")
        assert answer.headers["Retry-After"] == "1"
        assert client.get("/health/ready").status_code == client.get("/metrics").status_code == 200
        assert [one.result().status_code for one in first] == [200, 200]
        assert client.post("/detect", content=CLIP).status_code == 200  # the places are free again


def test_past_the_deadline_is_504(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(store, deadline_seconds=0.3) as client:
        with slow_detector(monkeypatch, seconds=1):
            check(client.post("/detect", content=CLIP), "deadline_exceeded")
        time.sleep(1)
        assert client.post("/detect", content=CLIP).status_code == 200


# Ready, or not


def test_before_it_is_ready(store: Path) -> None:
    app = create_app(settings(store))
    with serving_app(app) as client:
        client.wait_until_ready()
        loaded, app.state.registry = app.state.registry, None  # as it is while models load
        for answer in (
            client.get("/health/ready"),
            client.post("/detect", content=CLIP),
            client.post("/batch", files={"files": CLIP}),
            client.get("/models"),
            client.get("/models/simple_cnn/versions/1"),
        ):
            check(answer, "not_ready")
            assert answer.headers["Retry-After"] == "1"
        assert client.get("/health/live").json() == {"status": "alive"}
        app.state.registry = loaded
        assert client.get("/health/ready").json() == {"status": "ready", "store": "current"}
        drain(app)
        check(client.get("/health/ready"), "not_ready")
        assert client.post("/detect", content=CLIP).status_code == 200  # drained, not dropped
        assert client.get("/health/live").status_code == 200
