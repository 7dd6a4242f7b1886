"""Vocoders on made speech and on signals whose answer is known."""

import librosa
import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from tests.corpora import made_speech
from training.vocoders import codecs, combs, conversion, source_filter, spectra, units, world
from training.vocoders.methods import METHODS

RATE = 16_000
SPEECH = made_speech(np.random.default_rng(0), pitch_hz=130, leading_seconds=0.1).astype(np.float32)


def decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(power + 1e-12)


def loudness(waveform: np.ndarray) -> np.ndarray:
    """dB in frames of 10 ms, smoothed over three, 60 dB of range."""
    frames = waveform[: waveform.size // 160 * 160].reshape(-1, 160).astype(np.float64)
    power = np.convolve(np.square(frames).mean(axis=1), np.ones(3) / 3, mode="same")
    return np.maximum(decibels(power), decibels(power.max()) - 60)


def band_levels(waveform: np.ndarray) -> np.ndarray:
    """dB in 20 bands of 400 Hz, of the whole."""
    power = np.square(np.abs(np.fft.rfft(waveform)))[:-1]
    return decibels(power[: power.size // 20 * 20].reshape(20, -1).mean(axis=1))


def peak_hz(waveform: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(waveform))) * RATE / waveform.size)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_the_same_at_the_same_time(name: str, seed: int) -> None:
    before = SPEECH.copy()
    made = METHODS[name](SPEECH, sample_rate=RATE, rng=np.random.default_rng(seed))
    assert np.array_equal(SPEECH, before)
    assert made.dtype == np.float32
    assert abs(made.size - SPEECH.size) <= 160
    assert np.isfinite(made).all()
    count = min(made.size, SPEECH.size)
    ours, theirs = loudness(made[:count]), loudness(SPEECH[:count])
    best = max(range(-5, 6), key=lambda lag: np.corrcoef(np.roll(ours, lag)[10:-10], theirs[10:-10])[0, 1])
    assert abs(best) <= 1  # 10 ms
    assert np.corrcoef(ours, theirs)[0, 1] > 0.8
    assert not np.allclose(made[:count], SPEECH[:count], atol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_draw_gives_the_same_copy(name: str) -> None:
    first, second = (METHODS[name](SPEECH[:8000], sample_rate=RATE, rng=np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)


def test_pitch_is_moved_by_what_was_asked() -> None:
    voice = world.analyse(SPEECH, sample_rate=RATE)
    f0 = world.change_pitch(voice.f0, semitones=7.0, span=0.0, smooth_frames=0.0)
    made = world.synthesise(world.Voice(f0, voice.envelope, voice.aperiodicity, voice.period_ms), sample_rate=RATE)
    heard, _ = world.track_pitch(made, sample_rate=RATE, period_ms=5.0)
    mean = np.exp(np.log(voice.f0[voice.f0 > 0]).mean())
    assert np.median(heard[heard > 0]) == pytest.approx(mean * 2 ** (7 / 12), rel=0.02)


def test_a_melody_keeps_its_gaps_and_its_mean() -> None:
    f0 = np.array([0.0, 100, 200, 0, 100, 200, 0])
    assert world.change_pitch(f0, semitones=0.0, span=1.0, smooth_frames=0.0) == pytest.approx(f0)
    flat = world.change_pitch(f0, semitones=12.0, span=0.0, smooth_frames=0.0)
    assert flat == pytest.approx([0, *[200 * 2**0.5] * 2, 0, *[200 * 2**0.5] * 2, 0])
    smooth = world.change_pitch(f0, semitones=0.0, span=1.0, smooth_frames=2.0)
    assert np.ptp(smooth[f0 > 0]) < np.ptp(f0[f0 > 0])
    silent = np.zeros(5)
    assert np.array_equal(world.change_pitch(silent, semitones=3.0, span=1.0, smooth_frames=2.0), silent)


def test_formants_move_by_the_factor() -> None:
    bins = np.arange(513)
    envelope = np.exp(-np.square((bins - 100) / 10.0))[np.newaxis] + 1e-9
    assert np.argmax(world.warp(envelope, factor=1.2)) == 120
    assert np.argmax(world.warp(envelope, factor=0.8)) == 80


def test_griffin_lim_comes_closer_with_iterations() -> None:
    magnitude = np.abs(librosa.stft(SPEECH, n_fft=512, hop_length=128))
    errors = []
    for iterations in (1, 30):
        rng = np.random.default_rng(0)
        made = spectra.griffin_lim(
            magnitude, hop=128, window="hann", iterations=iterations, rng=rng, length=SPEECH.size
        )
        errors.append(np.linalg.norm(np.abs(librosa.stft(made, n_fft=512, hop_length=128)) - magnitude))
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize("kind", ["random", "zero", "steady", "minimum"])
def test_a_phase_is_replaced_and_the_magnitudes_stay(kind: spectra.Phase) -> None:
    made = spectra.replace_phase(SPEECH, kind=kind, size=512, rng=np.random.default_rng(0))
    change = band_levels(made) - band_levels(SPEECH)
    assert np.abs(change - np.median(change)).max() < 5  # dB: windows with such phases do not add up to themselves
    assert abs(np.corrcoef(made, SPEECH)[0, 1]) < 0.6


def test_phase_zero_puts_a_pulse_in_the_middle_of_each_window() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    made = spectra.replace_phase(noise, kind="zero", size=1024, rng=np.random.default_rng(0))
    energy = np.square(made[:15_872]).reshape(-1, 256).sum(axis=0)
    assert energy[:2].sum() + energy[-1] > 0.5 * energy.sum()


def test_predictors_are_those_of_the_normal_equations() -> None:
    frames = np.random.default_rng(0).standard_normal((3, 400)).cumsum(axis=1)
    for frame, taps in zip(frames, source_filter.predictors(frames, order=12), strict=True):
        correlation = np.array([frame[lag:] @ frame[: frame.size - lag] for lag in range(13)])
        correlation[0] = correlation[0] * (1 + 1e-5) + 1e-12
        assert taps == pytest.approx([1, *-solve_toeplitz(correlation[:12], correlation[1:])], rel=1e-6, abs=1e-6)
    assert np.isfinite(source_filter.predictors(np.zeros((1, 400)), order=12)).all()


def test_what_is_whitened_is_coloured_again() -> None:
    filters, residual = source_filter._whiten(SPEECH, hop=80, order=16)
    assert np.var(residual) < 0.3 * np.var(SPEECH)
    assert source_filter._colour(residual, filters, hop=80)[: SPEECH.size] == pytest.approx(SPEECH, abs=1e-5)


def test_regular_pulses_lie_on_a_grid_and_on_few_levels() -> None:
    residual = np.random.default_rng(0).standard_normal(80)
    pulses = source_filter.regular_pulses(residual, step=4, levels=3)
    (places,) = np.nonzero(pulses)
    assert np.unique(places % 4).size == 1
    assert 3 < np.unique(pulses).size <= 7
    assert not source_filter.regular_pulses(np.zeros(80), step=4, levels=3).any()


def test_the_mdct_is_undone_by_its_inverse() -> None:
    samples = np.random.default_rng(0).standard_normal(5000)
    for half in (160, 256):
        spectrum = codecs.mdct(samples, half=half)
        assert codecs.inverse_mdct(spectrum)[:5000] == pytest.approx(samples)
        assert np.square(spectrum).sum() == pytest.approx(np.square(samples).sum())  # Parseval: it is orthogonal


def test_an_upsampler_leaves_images() -> None:
    tone = np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE).astype(np.float32)
    made = codecs.upsampled(tone, sample_rate=RATE, rng=np.random.default_rng(0))
    spectrum = decibels(np.square(np.abs(np.fft.rfft(made * np.hanning(RATE)))))
    assert peak_hz(made) == 300
    images = [hz for base in range(2000, 8001, 2000) for hz in (base - 300, base + 300) if hz < 8000]
    assert max(spectrum[images]) > np.median(spectrum) + 40  # near none in the tone itself


def test_a_codec_of_sinusoids_keeps_the_pitch() -> None:
    made = source_filter.sinusoidal(SPEECH, sample_rate=RATE, rng=np.random.default_rng(0))
    heard, spoken = (world.track_pitch(signal, sample_rate=RATE, period_ms=5.0)[0] for signal in (made, SPEECH))
    both = (heard > 0) & (spoken > 0)
    assert both.sum() > 0.9 * (spoken > 0).sum()
    assert np.median(np.abs(np.log(heard[both] / spoken[both]))) < 0.01


def test_a_comb_stands_at_the_rate_of_frames_and_follows_the_level() -> None:
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal(4 * RATE)).astype(np.float32)
    noise[2 * RATE :] *= 0.01
    ratios, follows, rates = [], [], set()
    for seed in range(40):
        added = combs.combed(noise, sample_rate=RATE, rng=np.random.default_rng(seed)) - noise
        ratios.append(10 * np.log10(np.mean(noise**2) / np.mean(added**2)))
        power = np.abs(np.fft.rfft(added[: 2 * RATE] * np.hanning(2 * RATE))) ** 2
        shares = {}
        for samples, rate in combs.FRAMES:
            lines = np.rint(np.arange(1, int(7_900 * samples / rate)) * rate / samples * 2).astype(int)
            shares[rate / samples] = (
                sum(power[lines + beside].sum() for beside in (-1, 0, 1)) / power.sum() / len(lines)
            )
        rates.add(max(shares, key=shares.__getitem__))
        follows.append(np.std(added[2 * RATE + 1_600 :]) / np.std(added[: 2 * RATE - 1_600]))
    assert 8 < min(ratios) < 20
    assert 35 < max(ratios) < 60
    assert len(rates) > 6
    assert min(follows) < 0.05
    assert max(follows) > 0.8


def test_units_come_from_elsewhere_in_the_clip() -> None:
    speech = SPEECH + 0.01 * np.random.default_rng(3).standard_normal(SPEECH.size).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(speech, 160)
    windows = windows / np.linalg.norm(windows, axis=1, keepdims=True)
    for seed in range(3):
        made = units.concatenated(speech, sample_rate=RATE, rng=np.random.default_rng(seed))
        pieces = made[: made.size // 160 * 160].reshape(-1, 160)
        likeness = (pieces / np.linalg.norm(pieces, axis=1, keepdims=True)) @ windows.T
        places = likeness.argmax(axis=1)
        real = likeness.max(axis=1) > 0.9999
        moved = real & (np.abs(places - 160 * np.arange(len(places))) >= 8 * 160)
        assert real.mean() > 0.6  # all but what lies in a join
        assert 0.2 < moved.mean() < 0.9


@pytest.mark.parametrize("seconds", [0.13, 0.2, 0.35, 0.5])
def test_a_short_clip_has_units_too(seconds: float) -> None:
    speech = SPEECH[4000 : 4000 + round(seconds * RATE)]
    for seed in range(20):
        made = units.concatenated(speech, sample_rate=RATE, rng=np.random.default_rng(seed))
        assert made.shape == speech.shape
        assert np.isfinite(made).all()
        assert np.abs(made - speech).max() > 0.01 * np.abs(speech).max()


def test_a_clip_of_a_unit_or_two_is_refused() -> None:
    with pytest.raises(ValueError, match=r"come from 0.13 s or more. Received: 2079 samples"):
        units.concatenated(SPEECH[:2079], sample_rate=RATE, rng=np.random.default_rng(0))


def test_silence_is_no_error() -> None:
    for method in METHODS.values():
        made = method(np.zeros(RATE, np.float32), sample_rate=RATE, rng=np.random.default_rng(0))
        assert np.isfinite(made).all()


@pytest.mark.parametrize(("size", "overlap"), [(320, 4), (512, 2), (1024, 4)])
@pytest.mark.parametrize("factor", [0.87, 1.15])
def test_a_filter_moves_formants_and_leaves_the_pitch(size: int, overlap: int, factor: float) -> None:
    pulses = np.zeros(2 * RATE, np.float32)
    pulses[::160] = 1  # 100 Hz
    pole = 0.97 * np.exp(2j * np.pi * 1_500 / RATE)
    vowel = lfilter([1], [1, -2 * pole.real, abs(pole) ** 2], pulses).astype(np.float32)
    options = {"size": size, "overlap": overlap, "coefficients": 24}
    made = conversion.refilter(vowel, factor=factor, mean_frames=0, **options)

    def formant_hz(waveform: np.ndarray) -> float:
        magnitudes = np.abs(librosa.stft(waveform[RATE // 2 : -RATE // 2], n_fft=512))
        return float(np.argmax(conversion.envelopes(magnitudes, 24).mean(axis=1)) * RATE / 512)

    assert formant_hz(vowel) == pytest.approx(1_500, abs=60)
    assert formant_hz(made) == pytest.approx(1_500 * factor, abs=90)
    lags = np.arange(80, 240)
    agreement = [np.dot(made[RATE // 2 : RATE], made[RATE // 2 + lag : RATE + lag]) for lag in lags]
    assert lags[np.argmax(agreement)] == 160
    same = conversion.refilter(vowel, factor=1, mean_frames=0, **options)
    assert same[size:-size] == pytest.approx(vowel[size:-size], abs=1e-3 * float(np.abs(vowel).max()))


def test_means_over_frames_smooth_the_new_envelopes() -> None:
    still, moving = (
        conversion.refilter(SPEECH, size=512, overlap=4, factor=1.1, coefficients=24, mean_frames=frames)
        for frames in (6.0, 0.0)
    )
    changes = [
        np.abs(np.diff(conversion.envelopes(np.abs(librosa.stft(made, n_fft=512)), 24), axis=1)).mean()
        for made in (still, moving)
    ]
    assert changes[0] < 0.8 * changes[1]
