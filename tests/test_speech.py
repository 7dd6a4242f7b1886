"""Made signals whose nature is known. A signal that is not speech must have none; speech must."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from model_store import speech
from model_store.speech import Condition, measure

RATE = 16_000
T = np.arange(4 * RATE) / RATE
NOISE = np.random.default_rng(0).standard_normal(T.size) * 0.1
BROWN = np.fft.irfft(np.fft.rfft(NOISE) / np.arange(1, T.size // 2 + 2), T.size) * 50


def voice(*, pitch_hz: float = 120.0) -> np.ndarray:
    """Harmonics of a wandering pitch in syllables: what a vowel-only talker would sound like."""
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * T))) / RATE
    buzz = sum(np.cos(k * phase) / k for k in range(1, int(3_500 / (1.2 * pitch_hz))))
    return 0.1 * buzz * np.clip(np.sin(2 * np.pi * 2 * T), 0, 1) + 1e-4 * NOISE


def keyed(*pairs: tuple[float, float], on: float, period: float, noise: float) -> np.ndarray:
    """Tones of a telephone network in turn, on a noisy line."""
    hertz = np.array(pairs)[(T // period).astype(int) % len(pairs)]
    tones = 0.1 * np.sin(2 * np.pi * hertz.T * T).sum(axis=0)
    return np.where(T % period < on, tones, 0) + 10 * noise * NOISE


def condition(signal: np.ndarray) -> Condition:
    return measure(signal.astype(np.float32), sample_rate=RATE)


@pytest.mark.parametrize(
    "signal",
    [
        pytest.param(np.zeros(T.size), id="digital silence"),
        pytest.param(np.full(T.size, 0.3), id="direct current"),
        pytest.param(NOISE, id="white noise"),
        pytest.param(BROWN, id="brown noise"),
        pytest.param(NOISE * 1e-3, id="quiet noise"),
        pytest.param(NOISE * (1 + np.sin(2 * np.pi * 4 * T)), id="noise at the rate of syllables"),
        pytest.param(NOISE * (np.sin(2 * np.pi * 3 * T) > 0), id="gated noise"),
        pytest.param(0.1 * np.sin(2 * np.pi * 440 * T), id="tone"),
        pytest.param(0.1 * np.sin(2 * np.pi * 425 * T) * (T % 1 < 0.5), id="busy tone"),
        pytest.param(0.1 * (np.sin(2 * np.pi * 440 * T) + np.sin(2 * np.pi * 480 * T)) * (T % 2 < 1), id="ringing"),
        *(
            pytest.param(keyed(*pairs, on=on, period=period, noise=noise), id=f"{name}, noise {noise}")
            for noise in (0.0, 0.003, 0.012, 0.025)
            for name, pairs, on, period in (
                ("busy tone", [(480, 620)], 0.5, 1.0),
                ("reorder tone", [(480, 620)], 0.25, 0.5),
                ("one busy tone", [(400, 400)], 0.375, 0.75),
                ("dialled digits", [(697, 1336), (770, 1209), (941, 1477), (852, 1336)], 0.2, 0.4),
                ("digits dialled fast", [(697, 1336), (770, 1209), (941, 1477), (852, 1336)], 0.1, 0.2),
            )
        ),
        pytest.param(sum(0.1 / k * np.sin(2 * np.pi * 50 * k * T) for k in range(1, 10)), id="hum"),
        pytest.param((np.random.default_rng(1).random(T.size) < 5e-4) * 0.5, id="clicks"),
        pytest.param(0.1 * np.sin(2 * np.pi * (200 * T + 400 * T**2)), id="sweep"),
    ],
)
def test_what_is_not_speech_has_none(signal: np.ndarray) -> None:
    assert condition(signal).speech_seconds == 0


@pytest.mark.parametrize("pitch_hz", [90.0, 120.0, 220.0, 300.0])
@pytest.mark.parametrize("gain", [1.0, 0.03])
def test_voice_is_speech_whatever_its_pitch_and_level(pitch_hz: float, gain: float) -> None:
    found = condition(gain * voice(pitch_hz=pitch_hz))
    assert 1.5 < found.speech_seconds < 3.5  # half of the time is pause
    assert found.speech_seconds == condition(voice(pitch_hz=pitch_hz)).speech_seconds


def test_a_waveform_has_no_more_speech_than_it_is_long() -> None:
    found = condition(voice()[240:3_440])  # all of it one syllable, and the last frame cut short
    assert found.speech.all()
    assert found.speech_seconds == 0.2 < found.speech_between(0, 1)


def test_a_busy_tone_after_speech_takes_none_of_it() -> None:
    tone = keyed((480, 620), on=0.25, period=0.5, noise=0.012)
    found = condition(np.concatenate([voice(), voice(pitch_hz=220.0), tone, tone, tone]))
    assert found.speech_between(0, 8) == pytest.approx(found.speech_seconds, abs=0.2)
    assert found.speech_seconds > 3


def test_speech_is_found_where_it_is() -> None:
    signal = np.concatenate([np.zeros(4 * RATE), voice()])
    found = condition(signal)
    assert found.speech_between(0, 3.8) == 0
    assert found.speech_between(4, 8) == pytest.approx(found.speech_seconds, abs=0.1)


def test_what_lies_above_a_telephones_band_is_measured() -> None:
    spectrum = np.fft.rfft(NOISE)
    hertz = np.fft.rfftfreq(T.size, 1 / RATE)
    for edge_hz, expected_db in ((3_400, -np.inf), (6_000, 10 * np.log10(1.6 / 6)), (8_000, 10 * np.log10(3.6 / 8))):
        above = condition(np.fft.irfft(np.where(hertz < edge_hz, spectrum, 0))).above_4khz_db
        assert above < -60 if expected_db == -np.inf else above == pytest.approx(expected_db, abs=0.2)
    assert condition(np.zeros(T.size)).above_4khz_db == -np.inf


def test_bandwidth_is_that_of_the_signal() -> None:
    spectrum = np.fft.rfft(NOISE)
    for edge_hz in (1_000, 3_400, 7_000):
        limited = np.where(np.fft.rfftfreq(T.size, 1 / RATE) < edge_hz, spectrum, 0)
        assert condition(np.fft.irfft(limited)).bandwidth_hz == pytest.approx(edge_hz, rel=0.05)
    assert condition(np.zeros(T.size)).bandwidth_hz == 0


def test_level() -> None:
    assert condition(np.full(T.size, 0.1)).level_dbfs == pytest.approx(-20)
    assert condition(np.zeros(T.size)).level_dbfs == -np.inf


@pytest.mark.parametrize("samples", [1, 100, 511, 512, 513])
def test_any_length_is_measured(samples: int) -> None:
    assert condition(NOISE[:samples]).speech_seconds == 0


def test_a_long_waveform_is_measured_in_pieces_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = np.concatenate([voice(), NOISE * 1e-3, voice(pitch_hz=220.0)])[:-100]
    whole = condition(signal)
    monkeypatch.setattr(speech, "_PIECE_FRAMES", 50)
    parts = condition(signal)
    assert np.array_equal(parts.speech, whole.speech)
    assert whole.speech.any()
    for field in dataclasses.fields(whole)[1:]:
        assert getattr(parts, field.name) == pytest.approx(getattr(whole, field.name))


def test_single_precision_finds_what_double_does() -> None:
    mixture = np.concatenate([voice(), NOISE, BROWN * 1e-2, voice(pitch_hz=220.0) + 0.02 * NOISE])
    for gain in (1.0, 1e-3, 2.0**30):
        signal = (gain * mixture).astype(np.float32)
        frames = signal.reshape(-1, 512).astype(np.float64)
        spectra = np.square(np.abs(np.fft.rfft(frames * np.hanning(512))))
        ours = speech._power(signal.reshape(-1, 512))
        assert ours == pytest.approx(spectra, rel=1e-3, abs=1e-6 * spectra.max())
        voiced = speech._voiced(ours, sample_rate=RATE)
        correlation = np.fft.irfft(spectra * np.square(np.abs(1 - 0.97 * np.exp(-1j * np.linspace(0, np.pi, 257)))))
        own = np.fft.irfft(np.square(np.abs(np.fft.rfft(np.hanning(512)))))
        lags = slice(40, 230)  # 400 to 70 Hz
        peak = (correlation[:, lags] / correlation[:, :1] / (own[lags] / own[0])).max(axis=1)
        assert np.array_equal(voiced, peak > 0.45)
        assert 0.1 < voiced.mean() < 0.9


@pytest.mark.parametrize("count", [1, 2, 21, 100])
def test_the_percentile_is_numpys(count: int) -> None:
    values = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    assert speech._percentile_95(values) == pytest.approx(np.percentile(values, 95))


def test_frames_that_are_not_sorted_are_none_that_sorting_would_find() -> None:
    rng = np.random.default_rng(0)
    steepness = np.linspace(0, 6, 4_000)[:, None]  # from white to nearly all in one bin
    spectra = (
        rng.random((4_000, 257)) ** 9
        * np.exp(-steepness * rng.permuted(np.arange(257) / 24 * np.ones((4_000, 1)), axis=1))
    ).astype(np.float32)
    spectra[:3] = 0
    by_size = np.sort(spectra, axis=1)[:, ::-1]
    expected = by_size[:, :8].sum(axis=1) > 0.97 * spectra.sum(axis=1)
    assert np.array_equal(speech._tonal(spectra), expected)
    assert 0.1 < expected.mean() < 0.9


def test_memory_does_not_follow_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    long = np.tile(voice(), 20).astype(np.float32)

    def peak_of_its_size() -> float:
        tracemalloc.start()
        try:
            measure(long, sample_rate=RATE)
            return tracemalloc.get_traced_memory()[1] / long.nbytes
        finally:
            tracemalloc.stop()

    assert peak_of_its_size() > 1.5
    monkeypatch.setattr(speech, "_PIECE_FRAMES", 100)
    assert peak_of_its_size() < 0.3
