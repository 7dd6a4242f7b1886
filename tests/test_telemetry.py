"""What the service says of itself: ids, metrics, logs."""

import json
import logging
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from model_store.detector import Detector
from service.telemetry import log_config
from tests.serving import Client, serving
from tests.signals import clip, speech

CLIP = clip(speech(seconds=1.5, sample_rate=8_000), sample_rate=8_000)
SILENCE = clip(np.zeros(8_000), sample_rate=8_000)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("path", ["/health/live", "/detect", "/nowhere"])
def test_a_request_id_is_taken(client: Client, path: str) -> None:
    given = "An-id_of.64" + 53 * "x"
    assert client.get(path, headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "two words", 65 * "x", "n\u00e4me", "a/b", "a\tb"])
def test_a_request_id_of_another_shape_is_replaced(client: Client, given: str) -> None:
    made = [
        client.get("/health/live", headers=[(b"X-Request-ID", given.encode())]).headers["X-Request-ID"]
        for _ in range(2)
    ]
    assert [len(one) for one in made] == [26, 26]  # ULIDs
    assert given not in made
    assert made[0] < made[1]  # which sort by time


# Metrics


def metrics(client: Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_metrics_count_what_happened(store: Path) -> None:
    model = {"family": "simple_cnn", "version": "1"}
    with serving(store) as client:
        sha256 = client.post("/detect", content=CLIP, params={"threshold": -1e6}).json()["model"]["sha256"]
        client.post("/detect", content=CLIP, params={"threshold": 1e6})
        client.post("/batch", files=[("files", CLIP), ("files", SILENCE), ("files", b"not audio")])
        client.post("/detect", content=b"not audio")
        client.post("/detect", content=CLIP, params={"model": "secret-model"})
        found = metrics(client)
    assert value(found, "bonafide_request_seconds_count", route="/detect", status="200") == 2
    assert value(found, "bonafide_request_seconds_count", route="/detect", status="415") == 1
    assert value(found, "bonafide_request_seconds_count", route="/detect", status="404") == 1
    assert value(found, "bonafide_request_seconds_count", route="/batch", status="200") == 1
    assert value(found, "bonafide_verdicts_total", **model, verdict="inconclusive") == 1
    decided = [value for (name, _), value in found.items() if name == "bonafide_verdicts_total"]
    assert sum(decided) == 4
    assert value(found, "bonafide_inconclusive_total", reason="silence") == 1
    assert value(found, "bonafide_errors_total", code="unsupported_format") == 2
    assert value(found, "bonafide_errors_total", code="unknown_model") == 1
    assert value(found, "bonafide_audio_seconds_total", **model) == pytest.approx(3 * 1.5 + 1)
    assert value(found, "bonafide_call_windows_sum") == 3 * 2 + 1
    for stage in ("decode", "queue"):
        assert value(found, "bonafide_stage_seconds_count", stage=stage) == 4
    assert (
        1 <= value(found, "bonafide_stage_seconds_count", stage="infer") <= 7
    )  # one for each call, of a window or more
    assert value(found, "bonafide_queue_clips") == 0
    assert value(found, "bonafide_ready") == value(found, "bonafide_models_loaded") == 1
    assert value(found, "bonafide_model_info", **model, sha256=sha256) == 1
    assert value(found, "process_resident_memory_bytes") > 1e6


def test_a_verdict_that_is_never_given_is_counted_as_0(store: Path) -> None:
    with serving(store, runtime="onnx") as client:
        found = metrics(client)
    for verdict in ("bonafide", "spoof", "inconclusive"):
        assert value(found, "bonafide_verdicts_total", family="simple_cnn", version="1", verdict=verdict) == 0


def test_clients_cannot_make_labels(client: Client) -> None:
    def routes() -> Counter[str]:
        return Counter(
            label
            for name, labels in metrics(client)
            if name.endswith("_count")
            for key, label in labels
            if key == "route"
        )

    client.get("/nowhere")
    client.get("/static-offline-docs/swagger-ui.css")
    client.get("/models/simple_cnn/versions/1")
    client.get("/detect")
    client.get("/metrics")
    before = routes()
    for n in range(20):
        for path in (f"/{n}", f"/static-offline-docs/{n}", f"/models/{n}/versions/{n}", f"/models/{n}/versions/x"):
            client.get(path)
        client.request(f"M{n}", "/detect")
    after = routes()
    assert set(after) == set(before)
    assert "/models/{family}/versions/{version}" in after
    assert not [route for route in after if any(digit in route for digit in "0123456789")]


def test_a_queue_is_seen(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    with serving(store) as client:
        usual = Detector.logits

        def looked_at(self: Detector, clips: Any) -> Any:
            seen.append(value(metrics(client), "bonafide_queue_clips"))
            return usual(self, clips)

        monkeypatch.setattr(Detector, "logits", looked_at)
        client.post("/detect", content=CLIP)
    assert set(seen) == {1}  # in each of its calls


# Logs


def lines(caplog: pytest.LogCaptureFixture, count: int) -> list[dict[str, Any]]:
    """What the process would write for the app's own records; a request's comes just after its answer."""

    def records() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "bonafide"]

    patience = time.monotonic() + 5
    while len(records()) < count and time.monotonic() < patience:
        time.sleep(0.01)
    formatter_of = log_config("INFO")["formatters"]["json"]
    formatter = formatter_of["()"](
        formatter_of["fmt"], rename_fields=formatter_of["rename_fields"], datefmt=formatter_of["datefmt"]
    )
    texts = [formatter.format(record) for record in records()]
    assert len(texts) == count
    assert not [text for text in texts if "\n" in text]
    return [json.loads(text) for text in texts]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="bonafide")
    return caplog


def test_a_request_is_one_line(client: Client, log: pytest.LogCaptureFixture) -> None:
    answer = client.post("/detect", content=CLIP, headers={"traceparent": TRACE})
    [line] = lines(log, 1)
    assert line.pop("milliseconds") > 0
    assert line.pop("time")
    assert line == {
        "level": "INFO",
        "logger": "bonafide",
        "message": "request",
        "request_id": answer.headers["X-Request-ID"],
        "method": "POST",
        "route": "/detect",
        "status": 200,
        "verdict": answer.json()["verdict"],
        "model": "simple_cnn@1",
        "traceparent": TRACE,
    }


def test_a_problem_is_named(client: Client, log: pytest.LogCaptureFixture) -> None:
    client.post("/detect", content=b"not audio")
    [line] = lines(log, 1)
    assert (line["status"], line["code"]) == (415, "unsupported_format")


def test_a_trace_of_another_shape_is_not_logged(client: Client, log: pytest.LogCaptureFixture) -> None:
    client.post("/detect", content=CLIP, headers={"traceparent": TRACE + " secret"})
    [line] = lines(log, 1)
    assert "traceparent" not in line


def test_questions_of_machines_are_not_logged(client: Client, log: pytest.LogCaptureFixture) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        client.get(path)
    client.get("/models")
    [line] = lines(log, 1)
    assert line["route"] == "/models"


def test_nothing_of_the_client_is_logged(
    client: Client, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = ("secret-name.wav", CLIP)
    client.post("/detect?model=secret-model", files={"file": secret})
    client.post("/detect?threshold=secret-number", files={"file": secret})
    client.post("/batch", files={"files": secret, "secret-field": ("secret-name.wav", b"secret-audio")})
    client.post("/detect", content=b"secret-audio", headers={"Content-Type": "audio/secret-type"})
    client.get("/secret-path")
    client.get("/models/secret-family/versions/1")
    client.get("/detect", headers={"User-Agent": "secret-agent", "X-Request-ID": "secret id"})

    def broken(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Detector, "logits", broken)
    client.post("/detect?explain=true", files={"file": secret})
    found = lines(log, 9)  # the fault has two: what went wrong, and the request
    assert "secret" not in json.dumps(found)


def test_a_fault_is_logged_once_with_its_traceback(
    client: Client, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Detector, "logits", broken)
    answer = client.post("/detect", content=CLIP)
    assert answer.status_code == 500
    fault, request = lines(log, 2)
    assert fault["request_id"] == request["request_id"] == answer.headers["X-Request-ID"]
    assert "RuntimeError: a fault" in fault["exc_info"]
    assert (request["status"], request["code"]) == (500, "internal_error")
    assert len([record for record in log.records if record.exc_info]) == 1
