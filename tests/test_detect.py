"""POST /detect: every field of the contract, every way to send a clip, every knob of a request."""

import gzip
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from model_store.audio import decode
from model_store.detector import Detector
from model_store.store import Store, read_manifest
from service import pipeline
from tests.serving import Client
from tests.signals import clip, speech

VOICE = speech(seconds=2.6, sample_rate=8_000)
CLIP = clip(VOICE, sample_rate=8_000)
SILENCE = clip(np.zeros(16_000), sample_rate=8_000)
NOISE = clip(0.1 * np.random.default_rng(0).standard_normal(24_000), sample_rate=8_000)
FAR = 1e6  # a threshold beyond any score


def detect(client: Client, data: bytes = CLIP, *, media_type: str = "audio/wav", **parameters: Any) -> dict[str, Any]:
    answer = client.post("/detect", content=data, headers={"Content-Type": media_type}, params=parameters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_every_field_of_the_contract_is_there(client: Client) -> None:
    answer = client.post("/detect", content=CLIP)
    result = answer.json()
    assert list(result) == [
        *("request_id", "verdict", "reasons", "score", "bonafide", "spoof", "operating_point", "segments", "audio"),
        *("model", "timing_ms", "channels", "explanation"),
    ]
    assert result["request_id"] == answer.headers["X-Request-ID"]
    assert result["verdict"] in ("bonafide", "spoof")
    assert result["reasons"] == result["channels"] == []
    assert result["explanation"] is None
    assert result["audio"] == {
        "format": "WAV/PCM_16",
        "sample_rate_hz": 8_000,
        "channels": 1,
        "channel": 0,
        "channel_class": "narrowband",
        "duration_seconds": 2.6,
        "speech_seconds": pytest.approx(2.6, abs=0.1),
        "bandwidth_hz": pytest.approx(3_000, abs=600),
    }
    assert list(result["model"]) == ["family", "version", "sha256"]
    assert [name for name, value in result["timing_ms"].items() if value >= 0] == ["decode", "queue", "infer"]


@pytest.mark.parametrize("path", ["/detect", "/batch", "/explain", "/waveform"])
def test_a_compressed_body_is_refused_and_not_scored_as_if_it_were_audio(client: Client, path: str) -> None:
    ulaw = {"Content-Type": "audio/x-mulaw;rate=8000"}  # headerless: any bytes would do
    answer = client.post(path, content=gzip.compress(CLIP), headers={**ulaw, "Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    assert "no Content-Encoding but identity. Received: 'gzip'." in answer.json()["detail"]
    plain = {"Content-Type": "audio/wav", "Content-Encoding": "Identity"}
    assert client.post("/detect", content=CLIP, headers=plain).status_code == 200


def test_a_score_is_a_log_likelihood_ratio(client: Client) -> None:
    result = detect(client)
    assert result["bonafide"] == pytest.approx(1 / (1 + np.exp(-result["score"])))
    assert result["bonafide"] + result["spoof"] == pytest.approx(1)


def test_segments_cover_the_clip(client: Client) -> None:
    segments = detect(client)["segments"]
    assert [segment["start_seconds"] for segment in segments] == pytest.approx([0, 0.5, 1, 1.5, 1.6])
    assert [segment["end_seconds"] for segment in segments] == pytest.approx([1, 1.5, 2, 2.5, 2.6])


def test_the_answer_is_the_detectors(client: Client, store: Path) -> None:
    detector = Detector.load(Store(store).resolve("simple_cnn"))
    [score] = detector.score([decode(CLIP, sample_rate=16_000).waveforms[0]])
    result = detect(client)
    assert result["score"] == pytest.approx(score.value, abs=1e-4)
    assert result["model"]["sha256"] == detector.manifest.sha256


def test_the_explanation_leads_to_the_score(client: Client) -> None:
    result = detect(client, explain="true")
    explained = result["explanation"]
    logits = [window["logit"] for window in explained["windows"]]
    weights = [window["speech_seconds"] for window in explained["windows"]]
    assert len(logits) == len(result["segments"])
    assert explained["logit"] == pytest.approx(np.average(logits, weights=weights), abs=1e-2)
    assert result["score"] == pytest.approx(
        explained["calibration_slope"] * explained["logit"] + explained["calibration_intercept"]
    )
    assert explained["level_dbfs"] == pytest.approx(20 * np.log10(np.sqrt(np.mean(VOICE**2))), abs=0.1)


# Ways to send a clip


@pytest.mark.parametrize(
    "field", [{"file": ("a.wav", CLIP, "audio/wav")}, {"file": ("a", CLIP)}], ids=["typed", "bare"]
)
def test_multipart_is_the_same_as_the_body_itself(client: Client, field: dict[str, Any]) -> None:
    answer = client.post("/detect", files=field)
    assert answer.json()["score"] == pytest.approx(detect(client)["score"], abs=1e-4)


@pytest.mark.parametrize(
    "media_type", ["audio/wav", "application/octet-stream", "application/x-www-form-urlencoded", "audio/mpeg", ""]
)
def test_a_clip_that_says_what_it_is_needs_no_media_type(client: Client, media_type: str) -> None:
    assert detect(client, media_type=media_type)["audio"]["format"] == "WAV/PCM_16"


def test_mu_law_is_the_pcm_that_it_decodes_to(client: Client) -> None:
    mu_law = clip(VOICE, sample_rate=8_000, codec="ULAW")
    decoded, _ = soundfile.read(io.BytesIO(mu_law), dtype="int16")
    same = detect(client, clip(decoded, sample_rate=8_000), explain="true")
    result = detect(client, mu_law, explain="true")
    assert result["audio"]["format"] == "WAV/ULAW"
    assert (result["audio"]["channel_class"], same["audio"]["channel_class"]) == ("coded", "narrowband")
    assert result["explanation"]["logit"] == pytest.approx(same["explanation"]["logit"], rel=1e-6)
    assert result["score"] != pytest.approx(detect(client)["score"], abs=1e-4)  # before its 8 bits


@pytest.mark.parametrize(
    ("media_type", "codec", "endian"),
    [
        ("audio/basic", "ULAW", "FILE"),
        ("audio/x-mulaw;rate=8000", "ULAW", "FILE"),
        ("audio/x-alaw;rate=8000", "ALAW", "FILE"),
        ("audio/L16;rate=8000", "PCM_16", "BIG"),
    ],
)
def test_a_headerless_clip_is_what_its_media_type_says(
    client: Client, media_type: str, codec: str, endian: str
) -> None:
    raw = io.BytesIO()
    soundfile.write(raw, VOICE, 8_000, format="RAW", subtype=codec, endian=endian)
    same = detect(client, clip(VOICE, sample_rate=8_000, codec=codec))["score"]
    result = detect(client, raw.getvalue(), media_type=media_type)
    assert result["audio"]["format"] == f"RAW/{codec}"
    assert result["score"] == pytest.approx(same, abs=1e-4)
    within_multipart = client.post("/detect", files={"file": ("a.raw", raw.getvalue(), media_type)})
    assert within_multipart.json()["score"] == pytest.approx(same, abs=1e-4)


# Channels


def test_each_channel_is_scored_and_never_mixed(client: Client) -> None:
    other = speech(seconds=2.6, pitch_hz=210, tilt=0.3, seed=5, sample_rate=8_000)
    stereo = clip(np.stack([VOICE, other], axis=1), sample_rate=8_000)
    alone = [detect(client, clip(signal, sample_rate=8_000))["score"] for signal in (VOICE, other)]
    assert abs(alone[0] - alone[1]) > 0.1
    result = detect(client, stereo)
    assert [channel["score"] for channel in result["channels"]] == pytest.approx(alone, abs=1e-4)
    assert [channel["channel"] for channel in result["channels"]] == [0, 1]
    asked = detect(client, stereo, channel="each")
    assert asked["verdict"] == result["verdict"]
    assert [channel["score"] for channel in asked["channels"]] == pytest.approx(alone, abs=1e-4)
    for channel in (0, 1):
        asked = detect(client, stereo, channel=channel)
        assert (asked["audio"]["channel"], asked["channels"]) == (channel, [])
        assert asked["score"] == pytest.approx(alone[channel], abs=1e-4)


def test_the_graver_channel_decides(client: Client) -> None:
    other = speech(seconds=2.6, pitch_hz=210, tilt=0.3, seed=5, sample_rate=8_000)
    stereo = clip(np.stack([VOICE, other], axis=1), sample_rate=8_000)
    scores = [channel["score"] for channel in detect(client, stereo)["channels"]]
    result = detect(client, stereo, threshold=sum(scores) / 2)  # one on either side of it
    assert {channel["verdict"] for channel in result["channels"]} == {"spoof", "bonafide"}
    assert result["verdict"] == "spoof"
    assert result["score"] == min(channel["score"] for channel in result["channels"])
    assert result["audio"]["channel"] == int(np.argmin(scores))
    for equal, verdict in ((FAR, "spoof"), (-FAR, "bonafide")):
        for channels in ([VOICE, other], [other, VOICE]):
            result = detect(client, clip(np.stack(channels, axis=1), sample_rate=8_000), threshold=equal)
            assert {channel["verdict"] for channel in result["channels"]} == {verdict}
            assert result["score"] == min(channel["score"] for channel in result["channels"])


def test_channels_of_opposite_phase_do_not_cancel(client: Client) -> None:
    result = detect(client, clip(np.stack([VOICE, -VOICE], axis=1), sample_rate=8_000))
    assert result["reasons"] == []
    assert [channel["speech_seconds"] for channel in result["channels"]] == pytest.approx([2.6, 2.6], abs=0.1)


@pytest.mark.parametrize("silent", [0, 1])
def test_a_silent_channel_does_not_decide(client: Client, silent: int) -> None:
    channels = [VOICE, VOICE]
    channels[silent] = np.zeros_like(VOICE)
    result = detect(client, clip(np.stack(channels, axis=1), sample_rate=8_000), threshold=-FAR)
    assert (result["verdict"], result["audio"]["channel"]) == ("bonafide", 1 - silent)
    assert result["channels"][silent]["verdict"] == "inconclusive"
    assert "silence" in result["channels"][silent]["reasons"]


# Verdicts


@pytest.mark.parametrize("name", ["low_friction", "balanced", "high_security"])
def test_an_operating_point_is_the_manifests(client: Client, store: Path, name: str) -> None:
    points = read_manifest(Store(store).resolve("simple_cnn")).output.operating_points
    [point] = [point for known, point in points.items() if known == name]
    result = detect(client, operating_point=name)
    assert result["operating_point"] == {"name": name, **point.model_dump()}
    assert result["verdict"] == ("bonafide" if result["score"] >= point.threshold else "spoof")


def test_the_operating_point_is_balanced_by_default(client: Client) -> None:
    assert detect(client)["operating_point"] == detect(client, operating_point="balanced")["operating_point"]


@pytest.mark.parametrize(("threshold", "verdict"), [(-FAR, "bonafide"), (FAR, "spoof")])
def test_a_threshold_makes_the_verdict(client: Client, threshold: float, verdict: str) -> None:
    result = detect(client, threshold=threshold)
    assert result["verdict"] == verdict
    assert result["operating_point"] == {
        "name": "custom",
        "threshold": threshold,
        "false_accept_rate": None,
        "false_accept_interval": None,
        "false_reject_rate": None,
        "false_reject_interval": None,
        "measured_on": None,
    }


def test_a_score_at_the_threshold_is_bonafide(client: Client) -> None:
    score = detect(client)["score"]
    for threshold in (score, np.nextafter(score, np.inf)):
        answer = detect(client, threshold=threshold)  # of the same clip, but in float32
        assert (answer["verdict"] == "bonafide") == (answer["score"] >= threshold)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(SILENCE, "silence"), (NOISE, "insufficient_speech")],
    ids=["silence", "white noise"],
)
@pytest.mark.parametrize("threshold", [-FAR, 0, FAR])
@pytest.mark.parametrize("model", ["simple_cnn", "other_cnn"])
def test_what_is_not_speech_is_inconclusive_at_any_threshold(
    client: Client, data: bytes, reason: str, threshold: float, model: str
) -> None:
    result = detect(client, data, threshold=threshold, model=model)
    assert result["verdict"] == "inconclusive"
    assert reason in result["reasons"]


def test_speech_cut_off_at_its_peaks_is_inconclusive(client: Client) -> None:
    voice = speech(seconds=2.6)
    result = detect(client, clip(np.clip(8 * voice, -0.9, 0.9), sample_rate=16_000), threshold=-FAR)
    assert (result["verdict"], result["reasons"]) == ("inconclusive", ["clipped"])
    assert detect(client, clip(voice, sample_rate=16_000), threshold=-FAR)["verdict"] == "bonafide"


# Models


def test_the_first_model_configured_is_the_default(client: Client) -> None:
    assert detect(client)["model"]["family"] == "simple_cnn"


@pytest.mark.parametrize("name", ["other_cnn", "other_cnn@1"])
def test_a_request_chooses_its_model(client: Client, name: str) -> None:
    result = detect(client, model=name, explain="true")
    assert (result["model"]["family"], result["model"]["version"]) == ("other_cnn", 1)
    usual = detect(client, explain="true")
    assert result["model"]["sha256"] != usual["model"]["sha256"]
    # It is the same network with its last weights negated.
    assert result["explanation"]["logit"] == pytest.approx(-usual["explanation"]["logit"], abs=1e-3)


@pytest.mark.parametrize(("samples", "at_once"), [(2**17, True), (2**17 + 1, False)])
def test_a_short_plain_clip_is_decoded_where_it_came_in(
    client: Client, monkeypatch: pytest.MonkeyPatch, samples: int, *, at_once: bool
) -> None:
    threads = []

    def noted(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return decoded(*arguments)

    decoded = pipeline.decoded
    monkeypatch.setattr(pipeline, "decoded", noted)
    data = clip(np.resize(VOICE, samples), sample_rate=8_000)
    detect(client, data)
    client.post("/batch", files=[("files", ("clip", data))]).raise_for_status()
    assert [thread.startswith("decode-") for thread in threads] == [not at_once] * 2
