import numpy as np
import pytest

from training import changes

RATE = 16_000
NOISE = (np.random.default_rng(0).standard_normal(2 * RATE) * 0.1).astype(np.float32)
TONE = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_speed_moves_a_tone_by_a_tenth_at_most_either_way() -> None:
    heard = [
        float(np.argmax(np.abs(np.fft.rfft(changes.speed(TONE, rng(seed), sample_rate=RATE))))) for seed in range(60)
    ]
    assert 396 <= min(heard) < 405
    assert 475 < max(heard) <= 489
    assert np.mean(heard) == pytest.approx(440, abs=10)


def test_a_room_keeps_the_direct_sound_and_decays_by_60_db_in_half_a_second_at_most() -> None:
    impulse = np.zeros(RATE, np.float32)
    impulse[0] = 1
    ratios = []
    for seed in range(40):
        response = changes.reverb(impulse, rng(seed), sample_rate=RATE)
        assert response[0] == pytest.approx(1, abs=1e-4)
        tail = response[1:]
        ratios.append(-10 * np.log10(np.sum(tail**2)))
        assert not np.abs(tail[RATE // 2 + 1 :]).max() > 1e-6
        early, late = np.sum(tail[:800] ** 2), np.sum(tail[800:1_600] ** 2)
        assert 10 * np.log10(early / late) > 60 * 0.05 / 0.5 - 1  # 0.05 s later, of 60 dB in 0.5 s at most
    assert -0.1 < min(ratios) < 4
    assert 16 < max(ratios) < 20.1


@pytest.mark.parametrize("seed", range(4))
def test_noise_stands_at_the_ratio_that_was_drawn(seed: int) -> None:
    added = changes.add_noise(TONE, rng(seed)) - TONE
    ratio = 10 * np.log10(np.mean(TONE**2) / np.mean(added**2))
    assert 10 <= ratio <= 40


def test_noise_is_white_to_brown() -> None:
    """Of the amplitudes' slope over frequency: 0 to -1."""
    logarithm = np.log(np.arange(1, RATE // 2 + 2))
    slopes = []
    for seed in range(40):
        amplitudes = np.abs(np.fft.rfft(changes.add_noise(TONE, rng(seed)) - TONE))
        away = np.abs(np.arange(amplitudes.size) - 440) > 20
        slopes.append(np.polyfit(logarithm[away], np.log(amplitudes[away] + 1e-9), 1)[0])
    assert -1.1 < min(slopes) < -0.8
    assert -0.2 < max(slopes) < 0.1


def test_hum_is_lines_of_the_mains() -> None:
    rates, ratios, edges = set(), [], []
    for seed in range(60):
        added = (changes.hum(NOISE, rng(seed), sample_rate=RATE) - NOISE).astype(np.float64)
        ratios.append(10 * np.log10(np.mean(NOISE**2) / np.mean(added**2)))
        power = np.abs(np.fft.rfft(added * np.hanning(added.size), 8 * added.size)) ** 2
        hertz = np.arange(power.size) / 16
        rate = next(
            mains
            for mains in (50, 60, 100, 120)
            if power[16 * (mains - 1) : 16 * (mains + 1)].max() > 1e-4 * power.max()
        )
        away = np.abs(hertz % rate - rate / 2) < rate / 2 - 2 - 2e-3 * hertz
        assert power[(hertz < 1_000) & away].max() < 1e-3 * power.max()
        rates.add(rate)
        edges.append(hertz[power > 1e-6 * power.max()].max())
    assert {50, 60, 100, 120} == rates
    assert 20 <= min(ratios) < 23
    assert 52 < max(ratios) <= 55.1
    assert min(edges) < 500
    assert max(edges) > 5_000


@pytest.mark.parametrize("seed", range(4))
def test_a_random_filter_is_linear_smooth_and_within_its_bounds(seed: int) -> None:
    impulse = np.zeros(RATE, np.float32)
    impulse[0] = 1
    response = changes.random_filter(impulse, rng(seed))
    decibels = 20 * np.log10(np.abs(np.fft.rfft(response)))
    assert np.abs(decibels).max() <= 12.01
    assert np.abs(np.diff(decibels)).max() < 0.1
    doubled = changes.random_filter(2 * impulse, rng(seed))
    assert np.allclose(doubled, 2 * response, atol=1e-6)


def test_a_level_is_a_peak_of_minus_40_to_0_db_in_16_bits() -> None:
    peaks = []
    for seed in range(60):
        window = changes.level(NOISE, rng(seed))
        assert np.array_equal(window * 32_768, np.round(window * 32_768))
        peaks.append(20 * np.log10(np.abs(window).max()))
        assert np.corrcoef(window, NOISE)[0, 1] > 0.999
    assert -40.1 < min(peaks) < -37
    assert -3 < max(peaks) <= 0


def test_clipping_takes_1_to_12_db_from_the_peak_by_cutting_or_bending() -> None:
    cut = []
    for seed in range(60):
        window = changes.clip(TONE, rng(seed))
        lowered = -20 * np.log10(np.abs(window).max())
        at_the_ceiling = np.mean(np.abs(window) > 0.9999 * np.abs(window).max())
        cut.append(at_the_ceiling > 0.2)
        assert 0.99 < lowered < 12.1 or not cut[-1]
        assert 1 < lowered < 13  # a tangent's peak lies below the ceiling
        assert np.array_equal(np.sign(window), np.sign(TONE))
    assert 15 < sum(cut) < 45
