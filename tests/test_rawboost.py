import numpy as np
import pytest
from scipy import signal

from training import rawboost

RATE = 16_000
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", rawboost.KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_every_kind_keeps_length_type_scale_and_time_and_leaves_its_input(kind: rawboost.Kind, seed: int) -> None:
    noise = (rng(9).standard_normal(RATE) * 0.1).astype(np.float32)
    before = noise.copy()
    heard = rawboost.rawboost(noise, rng(seed), sample_rate=RATE, kind=kind)
    assert heard.shape == noise.shape
    assert heard.dtype == np.float32
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 1
    assert np.array_equal(noise, before)
    assert not np.allclose(heard, noise)
    # A notch at 0 Hz may turn the wave upside down, as the paper's own filters do.
    assert np.argmax(np.abs(np.correlate(heard[1_000:-1_000], noise[1_100:-1_100], "valid"))) == 100
    assert np.array_equal(heard, rawboost.rawboost(noise, rng(seed), sample_rate=RATE, kind=kind))


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of 1, 2, .*, 1\|2. Received: 4"):
        rawboost.rawboost(TONE, rng(), sample_rate=RATE, kind="4")  # type: ignore[arg-type]


class Fixed:
    """A generator whose uniform draws are the middle of their range, and whose whole numbers a given one."""

    def uniform(self, low: float, high: float, shape: object = None) -> object:
        middle = (low + high) / 2
        return middle if shape is None else np.full(shape, middle)

    def integers(self, low: int, high: int, shape: object) -> object:
        return np.full(shape, 71)


@pytest.mark.parametrize(("rate", "centre"), [(RATE, 4_010), (8_000, 2_010)])
def test_a_filter_is_five_notches_as_scipy_makes_them(rate: int, centre: int) -> None:
    (ours,) = rawboost.notches(Fixed(), 1, sample_rate=rate)  # type: ignore[arg-type]
    width = 550
    notch = signal.firwin(71, [centre - width / 2, centre + width / 2], window="hamming", fs=rate)
    expected = np.ones(1)
    for _ in range(5):
        expected = np.convolve(expected, notch)
    expected /= np.abs(np.fft.rfft(expected, 1_024)).max()
    edge = (ours.size - expected.size) // 2
    assert np.allclose(ours[edge:-edge], expected, atol=1e-6)
    assert np.abs(ours[:edge]).max() < 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_filters_are_symmetric_with_a_peak_of_1_and_have_notches(seed: int) -> None:
    taps = rawboost.notches(rng(seed), 5, sample_rate=RATE)
    assert np.allclose(taps, taps[:, ::-1], atol=1e-6)
    gains = np.abs(np.fft.rfft(taps, 4_096))
    assert np.allclose(gains.max(axis=1), 1, atol=0.01)
    assert (gains.min(axis=1) < 0.3).all()


@pytest.mark.parametrize("seed", range(4))
def test_convolutive_noise_of_a_tone_is_its_harmonics_and_they_are_5_db_down_or_more(seed: int) -> None:
    spectrum = np.abs(np.fft.rfft(rawboost.convolutive(TONE, rng(seed), sample_rate=RATE)))
    harmonics = spectrum[440 : 440 * 5 + 1 : 440]
    others = np.delete(spectrum, [0, *(np.arange(440, 2_201, 440)[:, None] + np.arange(-20, 21)).ravel()])
    assert harmonics[1:].max() > 10 * others[:3_000].max()
    # A tone of 0.5 has a second harmonic of 0.5²/2 in its square and 0.5⁴/2 in its fourth power: 5 dB down at least.
    assert harmonics[1] / (RATE / 2) < (0.5**2 / 2 + 0.5**4 / 2) * 10 ** (-5 / 20)
    assert spectrum[0] < 1e-2 * spectrum.max()


def test_impulses_touch_a_tenth_of_the_samples_at_most_and_triple_them_at_most() -> None:
    touched = []
    for seed in range(200):
        heard = rawboost.impulsive(TONE * np.float32(0.5), rng(seed))
        ratio = heard[TONE != 0] / (TONE[TONE != 0] * np.float32(0.5))
        touched.append(float((ratio != 1).mean()))
        assert -1.001 <= ratio.min() <= ratio.max() <= 3.001
    assert 0.09 < max(touched) <= 0.1
    assert np.mean(touched) == pytest.approx(0.05, abs=0.006)


def test_stationary_noise_stands_at_10_to_40_db() -> None:
    ratios = []
    for seed in range(100):
        added = rawboost.stationary(TONE, rng(seed), sample_rate=RATE) - TONE
        ratios.append(10 * np.log10(np.sum(TONE**2) / np.sum(added**2)))
    assert 9.99 <= min(ratios) < 13
    assert 37 < max(ratios) <= 40.01


def test_in_parallel_is_the_sum_of_both() -> None:
    quiet = TONE * np.float32(0.1)
    one = rng(3)
    both = rawboost.convolutive(quiet, one, sample_rate=RATE) + rawboost.impulsive(quiet, one)
    assert np.array_equal(rawboost.rawboost(quiet, rng(3), sample_rate=RATE, kind="1|2"), both)


def test_silence_stays_silent() -> None:
    for kind in rawboost.KINDS:
        assert not rawboost.rawboost(np.zeros(RATE, np.float32), rng(), sample_rate=RATE, kind=kind).any()
