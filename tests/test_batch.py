"""POST /batch: many clips, in order, none of which can harm another."""

import json
import tempfile
import time
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.formparsers import MultiPartParser

from model_store.detector import CALL_WINDOWS, Detector
from service import bodies
from tests.serving import Client, serving
from tests.signals import clip, speech

VOICES = [
    clip(
        speech(seconds=1 + n / 20, pitch_hz=90 + 7 * n, tilt=0.3 + n / 40, seed=n, sample_rate=8_000), sample_rate=8_000
    )
    for n in range(32)
]
BAD = b"not audio at all"


def files(*clips: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (f"secret-{n}.wav", data)) for n, data in enumerate(clips)]


def batch(client: Client, *clips: bytes, **parameters: Any) -> list[dict[str, Any]]:
    answer = client.post("/batch", files=files(*clips), params=parameters)
    assert answer.status_code == 200, answer.text
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    return list(answer.json()["results"])


def score(client: Client, data: bytes) -> float:
    return float(client.post("/detect", content=data).json()["score"])


def test_a_clip_scores_the_same_alone_and_in_a_batch(client: Client) -> None:
    together = [item["result"]["score"] for item in batch(client, *VOICES)]
    alone = [score(client, voice) for voice in VOICES]
    assert together == pytest.approx(alone, abs=1e-4)
    assert np.std(alone) > 0.1  # different clips, different scores: the order is theirs


def test_a_bad_clip_fails_alone(client: Client) -> None:
    results = batch(client, VOICES[0], BAD, VOICES[1], b"")
    assert [item["index"] for item in results] == [0, 1, 2, 3]
    assert [item["problem"] and item["problem"]["code"] for item in results] == [
        *(None, "unsupported_format", None, "empty_audio")
    ]
    assert [item["result"] is None for item in results] == [False, True, False, True]
    assert results[1]["problem"]["status"] == 415


def test_parameters_are_for_every_clip(client: Client) -> None:
    results = batch(client, *VOICES[:2], threshold=-1e6, explain="true", model="other_cnn")
    assert [item["result"]["verdict"] for item in results] == ["bonafide", "bonafide"]
    assert all(item["result"]["explanation"] for item in results)
    assert {item["result"]["model"]["family"] for item in results} == {"other_cnn"}


def test_a_stream_has_a_line_for_each_clip(client: Client) -> None:
    answer = client.post("/batch", files=files(VOICES[0], BAD, VOICES[1]), headers={"Accept": "application/x-ndjson"})
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    items = {item["index"]: item for item in map(json.loads, answer.text.splitlines())}
    assert sorted(items) == [0, 1, 2]
    assert items[1]["problem"]["code"] == "unsupported_format"
    assert items[2]["result"]["score"] == pytest.approx(score(client, VOICES[1]), abs=1e-4)


def test_a_line_comes_as_soon_as_it_is_ready(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, go_on = Detector.logits, Event()

    def held(self: Detector, clips: Any) -> Any:
        go_on.wait(10)
        return usual(self, clips)

    monkeypatch.setattr(Detector, "logits", held)
    with client.stream(
        "POST", "/batch", files=files(VOICES[0], BAD), headers={"Accept": "application/x-ndjson"}
    ) as answer:
        lines = answer.iter_lines()
        assert json.loads(next(lines))["index"] == 1  # refused while the other still waits
        go_on.set()
        assert json.loads(next(lines))["index"] == 0


def test_one_clip_is_a_batch(client: Client) -> None:
    [item] = batch(client, VOICES[0])
    assert item["result"]["score"] == pytest.approx(score(client, VOICES[0]), abs=1e-4)


def test_the_number_of_clips_is_bounded(store: Path) -> None:
    with serving(store, max_batch_clips=3) as client:
        assert len(batch(client, *VOICES[:3])) == 3
        answer = client.post("/batch", files=files(*VOICES[:4]))
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


def test_a_batch_larger_than_the_queue_is_whole(store: Path) -> None:
    with serving(store, max_queue_clips=16) as client:
        assert all(item["result"] for item in batch(client, *VOICES))


def test_a_batch_that_was_cut_short_is_refused(client: Client) -> None:
    request = client.build_request("POST", "/batch", files=files(*VOICES[:2]))
    whole = request.read()
    for body, status in ((whole, 200), (whole[:-200], 400), (whole[: len(whole) // 2], 400)):
        answer = client.post("/batch", content=body, headers={"Content-Type": request.headers["Content-Type"]})
        assert answer.status_code == status


def test_file_names_are_not_answered(client: Client) -> None:
    assert "secret" not in client.post("/batch", files=files(VOICES[0], BAD)).text


def test_audio_is_never_spooled_to_a_disk(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    usual = tempfile.TemporaryFile

    def noted(*args: Any, **kwargs: Any) -> Any:
        made.append(args)
        return usual(*args, **kwargs)

    monkeypatch.setattr(tempfile, "TemporaryFile", noted)  # what a spooled file rolls over to
    large = clip(speech(seconds=100, sample_rate=16_000), sample_rate=16_000)
    assert len(large) > 3_000_000
    assert all(item["result"] for item in batch(client, large, large))
    assert made == []
    monkeypatch.setattr(bodies._InMemoryParser, "on_part_data", MultiPartParser.on_part_data)
    monkeypatch.setattr(
        bodies._InMemoryParser, "spool_max_size", 1 << 20, raising=False
    )  # another library may raise it
    assert all(item["problem"]["code"] == "empty_audio" for item in batch(client, large))
    assert made  # the guard sees the files that Starlette would make


def ended(client: Client, path: str) -> float:
    """How many requests of a route are over, answered or not."""
    counts = [line for line in client.get("/metrics").text.splitlines() if "_count{" in line]
    return sum(float(line.split()[-1]) for line in counts if f'route="{path}"' in line)


def test_a_client_that_goes_is_not_worked_for(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    begun, go_on = Event(), Event()
    usual = Detector.logits

    def held(self: Detector, clips: Any) -> Any:
        calls.append(len(clips))
        begun.set()
        go_on.wait(10)
        return usual(self, clips)

    with serving(store, threads=1) as client:
        monkeypatch.setattr(Detector, "logits", held)
        for path, request in (
            ("/detect", {"content": VOICES[1]}),
            ("/batch", {"files": files(*VOICES)}),
            ("/batch", {"files": files(*VOICES), "headers": {"Accept": "application/x-ndjson"}}),
        ):
            begun.clear()
            go_on.clear()
            calls.clear()
            before = ended(client, path)
            with httpx.Client(base_url=client.base_url, trust_env=False) as other, pytest.raises(httpx.ReadTimeout):
                other.post(path, timeout=0.5, **request)  # type: ignore[arg-type]
            assert begun.wait(10)
            patience = time.monotonic() + 5
            # What is in a call cannot be stopped.
            while ended(client, path) == before or client.app.state.admission.clips > CALL_WINDOWS:
                assert time.monotonic() < patience, "the places of a client that has gone are not free"
                time.sleep(0.02)
            go_on.set()
            assert client.post("/detect", content=VOICES[0]).status_code == 200
            assert len(calls) <= 2, f"{path}: clips were scored for nobody"
        assert 'route="/detect",status="499"' in client.get("/metrics").text
