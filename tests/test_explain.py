"""POST /explain and POST /waveform."""

import io
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from model_store.audio import decode
from model_store.detector import Detector
from service import explainer, keys
from service.schemas import Regions
from tests.made_store import speech
from tests.serving import Client, serving
from tests.signals import clip
from tests.test_problems import check

RATE = 8_000
CLIP = clip(speech(seconds=2, sample_rate=RATE), sample_rate=RATE, codec="ULAW")
TWO = clip(
    np.stack([speech(seconds=1.5, sample_rate=RATE), speech(seconds=1.5, tilt=0.3, sample_rate=RATE)], axis=1),
    sample_rate=RATE,
)


def regions(client: Client, query: str = "", data: bytes = CLIP) -> Regions:
    answer = client.post(f"/explain?{query}", content=data)
    assert answer.status_code == 200, answer.text
    return Regions.model_validate(answer.json())


def test_it_answers_with_a_grid_over_the_clip(client: Client) -> None:
    found = regions(client)
    times, bands = np.array(found.times_seconds), np.array(found.bands_hz)
    assert (np.diff(times) > 0).all()
    assert times[0] < 0.2
    assert times[-1] == pytest.approx(2, abs=0.2)
    assert (bands[0], bands[-1]) == (0, RATE)
    assert np.shape(found.effects) == (bands.size - 1, times.size - 1)
    effects = np.abs(found.effects)
    assert effects.max() > 0
    # Nothing of a telephone's lies above 4 kHz: to silence it there does less than the most that is done below.
    assert effects[bands[:-1] >= 4_000].max() < 0.5 * effects[bands[:-1] < 4_000].max()
    assert regions(client).effects == found.effects


def test_another_sign_is_another_sign(client: Client) -> None:
    one, other = (np.array(regions(client, f"model={name}").effects) for name in ("simple_cnn", "other_cnn"))
    far = np.abs(one) > 0.3 * np.abs(one).max()  # calibrations differ, in slope alone
    assert (np.sign(one[far]) == -np.sign(other[far])).all()


def test_the_channel_is_the_one_asked_for_or_the_lowest(client: Client) -> None:
    scored = client.post("/detect", content=TWO).json()["channels"]
    lowest = min(scored, key=lambda channel: channel["score"])["channel"]
    assert regions(client, data=TWO).channel == lowest
    assert regions(client, "channel=0", TWO).effects != regions(client, "channel=1", TWO).effects
    check(client.post("/explain?channel=1", content=CLIP), "no_such_channel")


def test_one_clip_is_explained_at_a_time(client: Client) -> None:
    state = client.app.state
    state.explainer._busy = True
    try:
        check(client.post("/explain", content=CLIP), "overloaded")
    finally:
        state.explainer._busy = False
    check(client.post("/explain", content=b"not audio"), "unsupported_format")
    regions(client)  # a failure leaves the place free


def test_a_client_that_goes_is_not_worked_for(light_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    go_on = Event()

    def held(usual: Callable[..., Any], path: str) -> Callable[..., Any]:
        def function(*arguments: Any) -> Any:
            calls.append(path)
            go_on.wait(10)
            return usual(*arguments)

        return function

    with serving(light_store, models="light", runtime="onnx", threads=1) as client:
        monkeypatch.setattr(Detector, "logits", held(Detector.logits, "/explain"))
        monkeypatch.setattr(explainer, "_wav", held(explainer._wav, "/waveform"))
        for path in ("/explain", "/waveform"):
            go_on.clear()
            with httpx.Client(base_url=client.base_url, trust_env=False) as other, pytest.raises(httpx.ReadTimeout):
                other.post(path, content=CLIP, timeout=0.5)
            patience = time.monotonic() + 30
            while f'route="{path}",status="499"' not in client.get("/metrics").text:
                assert time.monotonic() < patience, f"{path}: it is worked for nobody"
                time.sleep(0.02)
            go_on.set()
            while client.app.state.admission.clips:
                assert time.monotonic() < patience, f"{path}: the place of a client that has gone is not free"
                time.sleep(0.02)
            assert calls.count(path) == 1
        assert client.post("/explain", content=CLIP).status_code == 200


def test_both_runtimes_explain_alike(store: Path, client: Client) -> None:
    pytest.importorskip("onnxruntime")
    with serving(store, runtime="onnx") as onnx:
        assert np.allclose(regions(onnx).effects, regions(client).effects, atol=5e-3)


def test_it_counts_for_the_seconds_of_its_client(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _, text = keys.make(path, client="one", scopes=("detect",))
    with serving(store, keys=path) as keyed:
        answer = keyed.post("/explain", content=CLIP, headers={"X-API-Key": text})
        windows = Regions.model_validate(answer.json()).windows_scored
        [sample] = [
            sample.value
            for family in keyed.app.state.telemetry.registry.collect()
            for sample in family.samples
            if sample.name == "bonafide_key_audio_seconds_total"
        ]
        assert sample == pytest.approx(windows * 1.0)  # windows of 1 s


@pytest.mark.parametrize(("data", "channels"), [(CLIP, 1), (TWO, 2)])
def test_the_waveform_is_what_the_model_hears(client: Client, data: bytes, channels: int) -> None:
    answer = client.post("/waveform", content=data)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
    samples, rate = soundfile.read(io.BytesIO(answer.content), always_2d=True)
    heard = decode(data, sample_rate=16_000).waveforms
    assert (rate, samples.shape[1]) == (16_000, channels)
    for channel in range(channels):
        assert np.abs(samples[:, channel] - heard[channel]).max() < 1e-4
    check(client.post("/waveform", content=b"not audio"), "unsupported_format")
