"""Transforms do what their words say, known from the waveform before and after."""

import numpy as np
import pytest

from tests.corpora import made_speech
from training import non_speech
from training.non_speech import SIGNALS, VARIANTS, coloured, variants
from training.transforms import TRANSFORMS

RATE = 16_000


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return made_speech(np.random.default_rng(0), pitch_hz=120, leading_seconds=0.1).astype(np.float32)


def after(name: str, waveform: np.ndarray) -> np.ndarray:
    return TRANSFORMS[name].apply(waveform, np.random.default_rng(1), sample_rate=RATE)


def decibels(signal: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(signal, dtype=np.float64))))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_gives_a_new_finite_waveform_and_the_same_one_again(name: str, speech: np.ndarray) -> None:
    kept = speech.copy()
    changed = after(name, speech)
    assert changed.dtype == np.float32
    assert changed.ndim == 1
    assert np.isfinite(changed).all()
    assert 0.8 * speech.size < changed.size <= 2 * speech.size
    assert np.array_equal(speech, kept)
    assert np.array_equal(changed, after(name, speech))
    assert changed.size != speech.size or not np.array_equal(changed, speech)


def test_levels(speech: np.ndarray) -> None:
    assert decibels(after("level_up", speech)) == pytest.approx(decibels(speech) + 20, abs=0.01)
    assert decibels(after("level_down_16", speech)) == pytest.approx(decibels(speech) - 20, abs=0.2)
    loud = after("level_up_16", speech)
    assert np.abs(loud).max() == pytest.approx(1, abs=1e-3)  # to full scale, and not clipped there
    assert np.corrcoef(loud, speech)[0, 1] > 0.9999


def test_silence_leaves_the_speech_where_it_was(speech: np.ndarray) -> None:
    half = RATE // 2
    assert np.array_equal(after("silence_before", speech)[half:], speech)
    assert not after("silence_before", speech)[:half].any()
    assert np.array_equal(after("silence_around", speech)[half:-half], speech)
    assert decibels(after("floor_after", speech)[-half:]) == pytest.approx(-75, abs=0.5)


def test_hum_stands_on_its_multiples(speech: np.ndarray) -> None:
    for name, hertz, ratio, last in (("hum_60", 60, 30, 960), ("buzz_100", 100, 40, 7_000)):
        added = (after(name, speech) - speech)[: RATE // 2]
        assert decibels(added) == pytest.approx(decibels(speech) - ratio, abs=1)
        power = np.abs(np.fft.rfft(added * np.hanning(added.size))) ** 2
        strong = np.flatnonzero(power > 0.1 * power[last // 2]) * 2
        assert np.abs((strong + hertz / 2) % hertz - hertz / 2).max() <= 4
        assert strong.max() == pytest.approx(last, abs=4)


def test_a_gateway_draws_straight_lines_and_so_leaves_images() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE).astype(np.float32)
    for name, image in (("gateway_8000", 7_000), ("gateway_12000", 5_000)):
        power = np.abs(np.fft.rfft(after(name, tone) * np.hanning(RATE))) ** 2
        assert power[1_000] > power[image] > 1e-5 * power[1_000] > 1e3 * np.median(power)
    sent = after("gateway_8000", tone)
    assert np.allclose(sent[1:-1:2], (sent[:-2:2] + sent[2::2]) / 2, atol=1e-6)


def test_what_is_inaudible(speech: np.ndarray) -> None:
    assert np.array_equal(after("polarity", speech), -speech)
    assert np.allclose(after("offset", speech) - speech, 0.01)
    assert np.array_equal(after("shift", speech), speech[1:])
    assert np.abs(after("dither", speech) - speech).max() < 2 / 32_768
    assert decibels(after("rate_44100", speech) - speech) < decibels(speech) - 40
    assert np.array_equal(after("trim_100", speech), speech[1600:-1600])


def test_noise_is_as_loud_as_it_says(speech: np.ndarray) -> None:
    for name, ratio in (("pink_0", 0), ("pink_20", 20), ("white_20", 20)):
        assert decibels(speech) - decibels(after(name, speech) - speech) == pytest.approx(ratio, abs=0.1)


def test_a_room_rings_on_and_keeps_the_level() -> None:
    click = np.zeros(RATE, np.float32)
    click[100] = 0.5
    wet = after("room_300", click)
    assert decibels(wet) == pytest.approx(decibels(click), abs=0.1)
    assert np.argmax(np.abs(wet)) == 100
    assert decibels(wet[100 + 3200 : 100 + 3360]) == pytest.approx(decibels(wet[260:420]) - 38, abs=4)  # 60 dB in 0.3 s


def test_clipping_clips_a_hundredth(speech: np.ndarray) -> None:
    clipped = np.abs(after("clipped", speech))
    assert np.mean(clipped >= 0.9999 * clipped.max()) == pytest.approx(0.01, abs=0.002)


def test_the_colours_of_noise() -> None:
    for exponent in (0, -1, -2):
        noise = coloured(np.random.default_rng(0), 2**16, exponent=exponent)
        power = np.square(np.abs(np.fft.rfft(noise)))
        octave = 10 * np.log10(power[8000:16_000].mean() / power[4000:8000].mean())
        assert octave == pytest.approx(3 * exponent, abs=0.5)


@pytest.mark.parametrize("name", SIGNALS)
def test_signals_that_nobody_spoke_have_many_levels_and_lengths(name: str) -> None:
    made = list(variants(name, seed=0, sample_rate=RATE))
    assert len(made) == VARIANTS
    assert all(w.dtype == np.float32 and np.abs(w).max() <= 1 for w in made)
    assert len({w.size for w in made}) == 4
    if name != "digital silence":
        assert decibels(made[3]) == pytest.approx(-55, abs=0.1)
        assert decibels(made[0]) == pytest.approx(-10, abs=4)  # peaks are clipped
    again = list(variants(name, seed=0, sample_rate=RATE))
    assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))


def test_a_pluck_is_a_sum_of_sines_that_die_away() -> None:
    t = np.arange(4_000) / RATE
    partials = [np.sin(2 * np.pi * 220 * k * t) / k**1.5 * np.exp(-(2 + k) * t) for k in range(1, 10)]
    assert np.allclose(non_speech._pluck(220.0, t), np.sum(partials, axis=0) * np.minimum(1, t / 0.01), atol=1e-12)
