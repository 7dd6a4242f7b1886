import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import numpy as np
import numpy.typing as npt
import pytest

from model_store import manifest as m
from model_store.detector import CALL_WINDOWS, Detector, Score, probe_waveform
from model_store.errors import InvalidArtifact
from model_store.manifest import Manifest
from model_store.store import Store
from tests.artifacts import publish
from tests.signals import speech
from tests.test_speech import NOISE, voice

VOICE = voice().astype(np.float32)


@pytest.fixture(scope="module")
def detector(store: Path) -> Detector:
    return Detector.load(Store(store).resolve("simple_cnn"))


@pytest.fixture
def artifact(store: Path, tmp_path: Path) -> Path:
    """A copy of the artifact, to be damaged."""
    return Path(shutil.copytree(Store(store).resolve("simple_cnn"), tmp_path / "simple_cnn" / "1"))


def edit(folder: Path, change: Callable[[dict], None]) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(("callers", "warmed"), [(None, 0), (3, 3)])
def test_it_is_warm_for_callers_side_by_side(
    light_store: Path, monkeypatch: pytest.MonkeyPatch, callers: int | None, warmed: int
) -> None:
    usual, sizes, together = Detector.logits, list[int](), Barrier(3)

    def logits(detector: Detector, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if len(windows) > 1:  # not the probe
            together.wait(20)  # which breaks if one comes after the other
            sizes.append(len(windows))
        return usual(detector, windows)

    monkeypatch.setattr(Detector, "logits", logits)
    Detector.load(Store(light_store).resolve("light"), runtime="onnx", callers=callers)
    assert sizes == warmed * [CALL_WINDOWS]


def test_a_flipped_byte_is_refused_before_keras_opens_the_file(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = artifact / "model.keras"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(Detector, "unverified", lambda *_, **__: pytest.fail("the file was opened"))
    with pytest.raises(InvalidArtifact, match=r"SHA-256 .* Received: .*model\.keras"):
        Detector.load(artifact)


def test_another_keras_is_refused(artifact: Path) -> None:
    edit(artifact, lambda content: content.update(keras="3.14.9"))
    with pytest.raises(InvalidArtifact, match=r"saved by 3\.14\.9; this is 3\.15"):
        Detector.load(artifact)


def test_a_model_that_answers_its_probe_differently_is_refused(artifact: Path) -> None:
    edit(artifact, lambda content: content["probe"].update(logit=content["probe"]["logit"] + 0.01))
    with pytest.raises(InvalidArtifact, match="gives its probe the logit that it gave at publishing"):
        Detector.load(artifact)


def test_what_is_not_a_model_is_refused_in_a_sentence(tmp_path: Path) -> None:
    publish(tmp_path / "store")
    with pytest.raises(
        InvalidArtifact, match="opens in Keras' safe mode and answers. Received: .*which raised"
    ) as caught:
        Detector.load(tmp_path / "store" / "tiny" / "1")
    assert "\n" not in str(caught.value)


def test_a_clip_scores_the_same_alone_and_among_others(detector: Detector) -> None:
    rng = np.random.default_rng(0)
    clips = [np.roll(VOICE, int(s))[: int(n)] for s, n in rng.integers(8_000, 60_000, (32, 2))]
    together = detector.score(clips)
    alone = [detector.score([clip])[0] for clip in clips]
    assert np.allclose([s.value for s in together], [s.value for s in alone], atol=1e-4)
    assert np.std([s.value for s in alone]) > 1e-3  # different clips, different scores


def test_level_does_not_move_a_score(detector: Detector) -> None:
    loud, quiet = detector.score([VOICE, 0.1 * VOICE])
    assert loud.value == pytest.approx(quiet.value, abs=0.01)


def test_silence_around_a_clip_moves_neither_its_score_nor_what_the_segments_are_of(detector: Detector) -> None:
    alone, padded = detector.score([VOICE, np.pad(VOICE, (8_123, 4_001))])
    assert padded.value == pytest.approx(alone.value, abs=1e-5)
    assert (padded.speech_seconds, padded.bandwidth_hz) == (alone.speech_seconds, alone.bandwidth_hz)
    moved = [s.start_seconds - 8_123 / detector.manifest.input.sample_rate for s in padded.segments]
    assert moved == pytest.approx([s.start_seconds for s in alone.segments])


def test_an_offset_does_not_move_a_score(detector: Detector) -> None:
    centred, offset = detector.score([VOICE, VOICE + np.float32(0.05)])
    assert offset.value == pytest.approx(centred.value, abs=0.02)


def test_a_long_recording_is_scored_in_bounded_calls(detector: Detector) -> None:
    long = np.tile(VOICE, 15)  # more windows than one call takes
    shape = detector.manifest.input
    score = detector.score([long])[0]
    assert len(score.segments) > 32
    prepared = detector.prepare(long)
    for place in (0, 33, len(score.segments) - 1):
        window = replace(prepared, windows=prepared.windows[place : place + 1], samples=shape.window_samples)
        assert detector.score_prepared([window])[0].logit == pytest.approx(
            score.segments[place].logit, rel=1e-5, abs=1e-4
        )
    assert score.segments[-1].end_seconds == pytest.approx((prepared.start + prepared.samples) / shape.sample_rate)


def test_a_score_is_the_calibrated_speech_weighted_mean_of_its_windows(detector: Detector) -> None:
    score = detector.score([np.concatenate([VOICE, np.zeros(64_000, np.float32), VOICE[:20_000]])])[0]
    weights = np.array([s.speech_seconds for s in score.segments])
    assert weights.min() == 0 < weights.max()
    assert score.logit == pytest.approx(np.average([s.logit for s in score.segments], weights=weights))
    line = detector.manifest.output.calibration[score.channel_class]
    assert score.value == pytest.approx(line.slope * score.logit + line.intercept)
    assert score.bonafide == pytest.approx(1 / (1 + np.exp(-score.value)))


def test_a_short_clip_is_one_segment_of_its_own_length(detector: Detector) -> None:
    (segment,) = detector.score([VOICE[:4_000]])[0].segments
    assert segment.start_seconds == pytest.approx(0, abs=0.01)
    assert segment.end_seconds == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("signal", "reasons"),
    [
        (np.zeros(64_000), {"silence", "insufficient_speech", "out_of_range_bandwidth"}),
        (NOISE, {"insufficient_speech"}),
        (VOICE[:5_000], {"insufficient_speech"}),
    ],
)
def test_there_may_be_too_little_to_say(detector: Detector, signal: np.ndarray, reasons: set[str]) -> None:
    score = detector.score([signal.astype(np.float32)])[0]
    assert reasons <= set(score.reasons)
    assert score.verdict(threshold=-1e9) == "inconclusive"  # a threshold that would call anything bonafide


def test_what_was_clipped_is_inconclusive_but_not_a_silence_that_holds_its_level(detector: Detector) -> None:
    most = detector.manifest.output.policy.max_clipped_fraction
    whole, clipped = (detector.prepare(VOICE, clipped_fraction=fraction) for fraction in (most, most + 0.01))
    quiet = detector.prepare(np.full(64_000, 1e-4, np.float32), clipped_fraction=1.0)
    reasons = [set(score.reasons) for score in detector.score_prepared([whole, clipped, quiet])]
    assert reasons[:2] == [set(), {"clipped"}]
    assert "silence" in reasons[2]
    assert "clipped" not in reasons[2]


def test_each_class_of_channel_has_its_line(detector: Detector) -> None:
    lines = {
        "wideband": m.Calibration(slope=1.0, intercept=0.0, fitted_on=""),
        "narrowband": m.Calibration(slope=1.0, intercept=100.0, fitted_on=""),
        "coded": m.Calibration(slope=2.0, intercept=200.0, fitted_on=""),
    }
    output = detector.manifest.output.model_copy(update={"calibration": lines})
    other = Detector(detector.manifest.model_copy(update={"output": output}), detector._call)
    wide = VOICE + (0.02 * NOISE).astype(np.float32)
    found = other.score_prepared([other.prepare(wide), other.prepare(VOICE), other.prepare(wide, coded=True)])
    assert [score.channel_class for score in found] == ["wideband", "narrowband", "coded"]
    for score in found:
        line = lines[score.channel_class]
        assert score.value == pytest.approx(line.slope * score.logit + line.intercept)
        for segment in score.segments:
            assert segment.score == pytest.approx(line.slope * segment.logit + line.intercept)


def test_a_verdict_is_on_the_right_side_of_its_threshold() -> None:
    score = Score(
        value=1.0,
        logit=0.0,
        segments=(),
        reasons=(),
        channel_class="coded",
        speech_seconds=3.0,
        bandwidth_hz=4_000.0,
        level_dbfs=-20.0,
    )
    assert score.verdict(threshold=1.0) == "bonafide"
    assert score.verdict(threshold=float(np.nextafter(1.0, 2))) == "spoof"


def test_nothing_in_nothing_out(detector: Detector) -> None:
    assert detector.score([]) == []


def test_the_probe_is_the_same_everywhere() -> None:
    waveform = probe_waveform(2019, samples=16_000)
    assert waveform.dtype == np.float32
    assert 0.05 < np.abs(waveform).max() <= 0.1
    digest = hashlib.sha256(waveform.astype("<f4").tobytes()).hexdigest()
    assert digest.startswith("12a662b4f16e61e2")


def test_the_manifest_tells_what_it_is(detector: Detector) -> None:
    assert isinstance(detector.manifest, Manifest)
    assert detector.probe_logit() == pytest.approx(detector.manifest.probe.logit, abs=1e-4)


def test_a_clip_is_pooled_as_its_manifest_says(store: Path) -> None:
    detector = Detector.load(Store(store).resolve("simple_cnn"))
    clip = np.concatenate([speech(seconds=1.0, tilt=t, seed=3) for t in (1.0, 0.3, 1.0)]).astype(np.float32)
    mean = detector.score([clip])[0]
    output = detector.manifest.output.model_copy(update={"pooling": "speech_weighted_soft_minimum"})
    detector.manifest = detector.manifest.model_copy(update={"output": output})
    lowest = detector.score([clip])[0]
    logits = [segment.logit for segment in mean.segments]
    assert [segment.logit for segment in lowest.segments] == pytest.approx(logits)
    assert min(logits) < lowest.logit < mean.logit
