import numpy as np
import pytest
import soundfile

from training import augment
from training.config import AugmentConfig

RATE = 16_000
NOISE = (np.random.default_rng(0).standard_normal(2 * RATE) * 0.1).astype(np.float32)
EVERYTHING = AugmentConfig(narrowband=1, filter=1, noise=1, mask=1)


def band_power(signal: np.ndarray, low_hz: float, high_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(signal)) ** 2
    hz = np.fft.rfftfreq(signal.size, 1 / RATE)
    return float(spectrum[(hz >= low_hz) & (hz < high_hz)].mean())


@pytest.mark.parametrize("seed", range(8))
def test_all_together_keep_length_type_and_finiteness_and_leave_their_input(seed: int) -> None:
    before = NOISE.copy()
    changed = augment.augment(NOISE, EVERYTHING, np.random.default_rng(seed), sample_rate=RATE)
    assert changed.shape == NOISE.shape
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert np.array_equal(NOISE, before)
    assert not np.allclose(changed, NOISE)


def test_the_same_draw_gives_the_same_change_and_nothing_is_changed_unasked() -> None:
    first, second = (augment.augment(NOISE, EVERYTHING, np.random.default_rng(3), sample_rate=RATE) for _ in range(2))
    assert np.array_equal(first, second)
    assert augment.augment(NOISE, AugmentConfig(), np.random.default_rng(3), sample_rate=RATE) is NOISE


def test_silence_stays_finite() -> None:
    silence = np.zeros(RATE, np.float32)
    assert np.isfinite(augment.augment(silence, EVERYTHING, np.random.default_rng(0), sample_rate=RATE)).all()


@pytest.mark.parametrize("seed", range(4))
def test_narrowband_has_nothing_above_4_khz(seed: int) -> None:
    narrow = augment.narrowband(NOISE, np.random.default_rng(seed), sample_rate=RATE)
    assert band_power(narrow, 4_200, 8_000) < 1e-4 * band_power(narrow, 500, 3_000)
    assert band_power(NOISE, 4_200, 8_000) > 0.5 * band_power(NOISE, 500, 3_000)


@pytest.mark.parametrize("seed", range(4))
def test_noise_stands_at_the_ratio_that_was_drawn(seed: int) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    added = augment.add_noise(tone, np.random.default_rng(seed)) - tone
    ratio = 10 * np.log10(np.mean(tone**2) / np.mean(added**2))
    assert 10 <= ratio <= 40


@pytest.mark.parametrize("seed", range(4))
def test_a_random_filter_is_linear_smooth_and_within_its_bounds(seed: int) -> None:
    impulse = np.zeros(RATE, np.float32)
    impulse[0] = 1
    response = augment.random_filter(impulse, np.random.default_rng(seed))
    decibels = 20 * np.log10(np.abs(np.fft.rfft(response)))
    assert np.abs(decibels).max() <= 12.01
    assert np.abs(np.diff(decibels)).max() < 0.1
    doubled = augment.random_filter(2 * impulse, np.random.default_rng(seed))
    assert np.allclose(doubled, 2 * response, atol=1e-6)


def test_mask_silences_a_stretch() -> None:
    masked = augment.mask(NOISE, np.random.default_rng(1))
    silent = int((masked == 0).sum())
    assert 0 < silent <= 0.2 * NOISE.size


def test_mu_law_is_the_codec_of_g711(tmp_path) -> None:
    """The reference is libsndfile's mu-law, which codes 16-bit samples."""
    samples = np.linspace(-0.99, 0.99, 20_001).astype(np.float32)
    soundfile.write(tmp_path / "mu.wav", samples, 8_000, subtype="ULAW")
    reference, _ = soundfile.read(tmp_path / "mu.wav", dtype="float32")
    ours = augment.mu_law(samples)
    assert set(np.unique(reference)) <= set(
        np.unique(augment.mu_law(np.linspace(-1.1, 1.1, 100_001, dtype=np.float32)))
    )
    # The nearest level, so never a larger error than the reference's truncation; and the same level nearly always.
    assert np.abs(ours - samples).max() <= np.abs(reference - samples).max()
    assert (ours == reference).mean() > 0.98
