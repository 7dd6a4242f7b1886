"""The policy: what is asked for happens, alike for both classes, and the same for the same draw."""

import inspect
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.test_channels import SPEECH, band_power, lag
from training import augment, dataset
from training.channels import CHANNELS, TRAINING_CODECS
from training.config import AugmentConfig, Config, FitConfig, InputConfig
from training.corpus import Utterance
from training.loader import Loader

RATE = 16_000
NOISE = (np.random.default_rng(0).standard_normal(2 * RATE) * 0.1).astype(np.float32)
CHANGES = [name for name, field in AugmentConfig.model_fields.items() if field.annotation is float]
EVERYTHING = AugmentConfig.model_validate(dict.fromkeys(CHANGES, 1))


def changed(waveform: np.ndarray, config: AugmentConfig, seed: int) -> np.ndarray:
    return augment.augment(waveform, config, np.random.default_rng(seed), sample_rate=RATE)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("config", [EVERYTHING, *({name: 1.0} for name in CHANGES)], ids=["everything", *CHANGES])
def test_a_change_keeps_length_type_and_sound_and_leaves_its_input(config: AugmentConfig | dict, seed: int) -> None:
    before = SPEECH.copy()
    config = AugmentConfig.model_validate(config)
    window = changed(SPEECH, config, seed)
    assert window.shape == SPEECH.shape
    assert window.dtype == np.float32
    assert np.isfinite(window).all()
    assert not np.array_equal(window, SPEECH)
    assert np.array_equal(SPEECH, before)
    # Neither silent nor beyond what a codec has room for: 60 dB below full scale is quiet.
    assert 1e-3 < np.abs(window).max() < 10
    assert np.array_equal(window, changed(SPEECH, config, seed))


@pytest.mark.parametrize("name", [name for name in CHANGES if name not in ("speed", "rawboost")])
def test_a_change_of_anything_but_speed_keeps_time(name: str) -> None:
    """RawBoost's test is its own: it may turn the wave upside down."""
    window = changed(SPEECH, AugmentConfig.model_validate({name: 1}), 1)
    assert abs(lag(SPEECH, window)) <= 1


def test_nothing_is_changed_unasked() -> None:
    rng = np.random.default_rng(3)
    assert augment.augment(NOISE, AugmentConfig(), rng, sample_rate=RATE) is NOISE
    assert rng.random() == np.random.default_rng(3).random()


def test_each_change_comes_as_often_as_asked() -> None:
    config = AugmentConfig(level=0.25)
    windows = [changed(SPEECH[:400], config, seed) for seed in range(400)]
    came = [not np.array_equal(window, SPEECH[:400]) for window in windows]
    assert np.mean(came) == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("name", CHANGES)
def test_silence_and_a_short_window_stay_finite(name: str) -> None:
    config = AugmentConfig.model_validate({name: 1})
    for seed in range(2):
        assert np.isfinite(changed(np.zeros(RATE, np.float32), config, seed)).all()
        assert changed(SPEECH[:1_601], config, seed).shape == (1_601,)


def test_no_change_knows_a_label() -> None:
    """By its signature; and in a batch, where an original and a copy of the same samples make the same window."""
    assert set(inspect.signature(augment.augment).parameters) == {"waveform", "config", "rng", "sample_rate"}
    fit = FitConfig(pairs=0.5, batch_size=4, epoch_windows=4)
    config = Config(augment=EVERYTHING, input=InputConfig(window_seconds=1.0), fit=fit)
    samples = np.round(SPEECH * 32_767).astype(np.int16)
    clips = (("U1", "bonafide", None), ("U1-1", "spoof", "U1"), ("U2", "spoof", None))
    recordings = [
        dataset.Recording(
            Utterance("S1", name, None if key == "bonafide" else "A01", key, source=source), "made", samples
        )
        for name, key, source in clips
    ]
    ((windows, labels, _),) = Loader(recordings, config, workers=0).epoch(0)
    assert labels[:2, 0].tolist() == [1.0, 0.0]
    assert np.array_equal(windows[0], windows[1])
    assert not np.array_equal(windows[2], windows[3])  # no pair: each is changed in its own way


def test_worker_threads_make_what_one_thread_makes() -> None:
    config = AugmentConfig(codec=1, rawboost=1)
    with ThreadPoolExecutor(max_workers=4) as pool:
        together = list(pool.map(lambda seed: changed(SPEECH, config, seed), range(12)))
    assert all(np.array_equal(window, changed(SPEECH, config, seed)) for seed, window in enumerate(together))


@pytest.mark.parametrize("seed", range(4))
def test_narrowband_has_nothing_above_4_khz(seed: int) -> None:
    narrow = changed(NOISE, AugmentConfig(narrowband=1), seed)
    assert band_power(narrow, 4_200, 8_000) < 1e-4 * band_power(narrow, 500, 3_000)
    assert band_power(NOISE, 4_200, 8_000) > 0.5 * band_power(NOISE, 500, 3_000)


def test_half_of_narrowband_is_through_mu_law() -> None:
    tone = np.sin(2 * np.pi * 437 * np.arange(RATE) / RATE).astype(np.float32)

    def distortion(seed: int) -> float:
        window = changed(tone, AugmentConfig(narrowband=1), seed)[2_000:-2_000]
        error = window - np.dot(window, tone[2_000:-2_000]) / np.sum(tone[2_000:-2_000] ** 2) * tone[2_000:-2_000]
        return float(10 * np.log10(np.sum(error**2) / np.sum(window**2)))

    distortions = [distortion(seed) for seed in range(100)]
    coded = [d for d in distortions if d > -50]
    assert 30 < len(coded) < 70
    assert (
        -42 < np.mean(coded) < -30
    )  # G.711's ratio of signal to distortion is 33 to 40 dB over 30 dB of level, less below
    assert max(d for d in distortions if d <= -50) < -55


def test_what_is_coded_is_as_quiet_as_callers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks: list[float] = []

    def heard(waveform: np.ndarray, law: str) -> np.ndarray:
        peaks.append(float(20 * np.log10(np.abs(waveform).max())))
        return waveform

    monkeypatch.setattr("training.augment.g711.through", heard)
    for seed in range(200):
        changed(SPEECH, AugmentConfig(narrowband=1), seed)
    assert -40 <= min(peaks) < -37
    assert -6 < max(peaks) <= -3


def test_codecs_are_those_named_and_by_default_none_is_held_out() -> None:
    for name in ("a_law", "vorbis"):
        window = changed(SPEECH, AugmentConfig(codec=1, codecs=(name,)), 5)
        gain = np.dot(window, SPEECH) / np.dot(SPEECH, SPEECH)
        expected = CHANNELS[name].apply(np.float32(gain) * SPEECH, sample_rate=RATE)
        assert np.sum((window - expected) ** 2) < 0.05 * np.sum(window**2)
    assert AugmentConfig().codecs == TRAINING_CODECS
    assert not any(CHANNELS[name].held_out for name in TRAINING_CODECS)
    with pytest.raises(ValueError, match="one of original, .* Received: pigeon"):
        AugmentConfig(codecs=("pigeon",))


def test_a_band_limit_is_one_of_three() -> None:
    kept = {
        tuple(
            bool(band_power(window, low, low + 100) > 1e-3 * band_power(NOISE, low, low + 100))
            for low in (100, 1_000, 3_600, 6_000, 7_400)
        )
        for window in (changed(NOISE, AugmentConfig(band_limit=1), seed) for seed in range(30))
    }
    assert kept == {
        (False, True, False, False, False),
        (True, True, True, False, False),
        (True, True, True, True, False),
    }


def test_lost_packets_are_1_to_15_per_cent_and_need_not_begin_with_the_window() -> None:
    hum = np.ones(20 * RATE, np.float32)
    silent = [changed(hum, AugmentConfig(packet_loss=1), seed) == 0 for seed in range(60)]
    shares = [float(where.mean()) for where in silent if where.any()]
    assert 0.03 < np.mean(shares) < 0.13
    assert max(shares) < 0.3
    starts = {int(np.flatnonzero(np.diff(where.astype(int)) == 1)[0] + 1) % 320 for where in silent if where.any()}
    assert len(starts) > 10
