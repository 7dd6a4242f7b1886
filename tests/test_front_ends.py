from itertools import pairwise

import keras
import librosa
import numpy as np
import pytest
from scipy.fft import dct

from training.config import FrontEndConfig
from training.filters import LINE_BANDS_HZ, filterbank
from training.front_ends import FRONT_ENDS, FrontEnds
from training.sinc import sinc_filters

RATE = 16_000
NOISE = (np.random.default_rng(0).standard_normal((3, RATE)) * 0.1).astype(np.float32)


def features(config: FrontEndConfig, *, samples: int = RATE) -> keras.Model:
    waveform = keras.Input((samples,))
    return keras.Model(waveform, FrontEnds(waveform, sample_rate=RATE)(config))


def power_in_bands(config: FrontEndConfig) -> np.ndarray:
    waveform = keras.Input((RATE,))
    front_ends = FrontEnds(waveform, sample_rate=RATE)
    front_ends(config)
    model = keras.Model(waveform, front_ends.bands(config))
    return np.exp(np.asarray(model(NOISE))) - 1e-5


def spectrum(waveforms: np.ndarray) -> np.ndarray:
    """librosa's power spectrum of waveforms of unit power, relative to white noise: (batch, bins, frames)."""
    power = np.abs(librosa.stft(unit_power(waveforms), n_fft=512, win_length=400, hop_length=160, center=False)) ** 2
    return power / np.sum(librosa.filters.get_window("hann", 400) ** 2)


def unit_power(waveforms: np.ndarray) -> np.ndarray:
    return waveforms / np.sqrt((waveforms**2).mean(axis=1, keepdims=True))


def test_log_mel_is_librosas() -> None:
    config = FrontEndConfig(kind="log_mel", bands=64, min_hz=20, max_hz=7_800)
    mel = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=64, fmin=20, fmax=7_800)
    oracle = np.einsum("bft,mf->btm", spectrum(NOISE), mel) / mel.sum(axis=1).mean()
    assert np.abs(np.log(power_in_bands(config)) - np.log(oracle)).max() < 1e-4


def test_linear_bands_are_weighted_sums_of_librosas_spectrum() -> None:
    config = FrontEndConfig(kind="log_linear", bands=40, min_hz=0, max_hz=8_000)
    bank = filterbank(config, sample_rate=RATE)
    oracle = np.einsum("bft,fm->btm", spectrum(NOISE), bank) / bank.sum(axis=0).mean()
    assert np.abs(np.log(power_in_bands(config)) - np.log(oracle)).max() < 1e-4


@pytest.mark.parametrize(("floor_decibels", "floor"), [(50.0, 1e-5), (20.0, 1e-2)])
def test_log_spectrum_is_librosas(floor_decibels: float, floor: float) -> None:
    config = FrontEndConfig(kind="log_spectrum", bands=200, floor_decibels=floor_decibels)
    logarithm = np.log(spectrum(NOISE)[:, :200].transpose(0, 2, 1) + floor)
    oracle = 0.5 * (logarithm - logarithm.mean(axis=(1, 2), keepdims=True))
    assert np.abs(np.asarray(features(config)(NOISE))[..., 0] - oracle).max() < 1e-4


def test_correlation_is_of_bins_a_lag_apart() -> None:
    config = FrontEndConfig(kind="correlation", bands=30, lags=(1, 5), step_seconds=0.02)
    bank = filterbank(config, sample_rate=RATE)
    spectra = librosa.stft(unit_power(NOISE), n_fft=512, win_length=400, hop_length=320, center=False)
    spectra /= np.sqrt(np.sum(librosa.filters.get_window("hann", 400) ** 2))
    power = np.einsum("bft,fm->btm", np.abs(spectra) ** 2, bank)
    channels = [np.log(power / bank.sum(axis=0).mean() + 1e-5)]
    for lag in config.lags:
        products = spectra[:, lag:] * spectra[:, :-lag].conj()
        summed = np.einsum("bft,fm->btm", products, bank[lag // 2 : lag // 2 - lag])
        channels.append(4 * np.abs(summed) / (power + 1e-5))
    oracle = 0.5 * np.stack(channels, axis=-1)
    oracle -= oracle.mean(axis=(1, 2), keepdims=True)
    found = np.asarray(features(config)(NOISE))
    assert found.shape == (3, 49, 30, 3)
    assert np.abs(found - oracle).max() < 2e-4


def test_correlation_tells_a_pulse_from_the_same_spectrum_without_its_phases() -> None:
    period = 128  # samples: the fourth bin's frequency, 125 Hz
    pulses = np.zeros(RATE // 2)
    pulses[::period] = 1
    line = np.fft.rfft(pulses[: period * 62])
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, line.size)
    hum = np.fft.irfft(line * np.exp(1j * phases), period * 62)
    wave = np.concatenate([pulses, np.resize(hum, RATE // 2)]).astype(np.float32)
    found = np.asarray(features(FrontEndConfig(kind="correlation", lags=(4,)))(wave[None]))[0]
    power, beats = found[..., 0], found[..., 1]
    assert abs(power[:40].mean() - power[-40:].mean()) < 0.2
    assert beats[:40].mean() > beats[-40:].mean() + 0.3


@pytest.mark.parametrize("hop", [160, 161])
def test_frame_lines_are_a_second_transform_of_the_phases_over_time(hop: int) -> None:
    rates, clocks_ppm = (62.5, 86.1328125, 93.75), (0, -200, 300)
    config = FrontEndConfig(
        kind="frame_lines", rates_hz=rates, clocks_ppm=clocks_ppm, floor_decibels=60, step_seconds=hop / RATE
    )
    spectra = librosa.stft(unit_power(NOISE), n_fft=512, win_length=400, hop_length=hop, center=False)
    phases = spectra / (np.abs(spectra) + np.sqrt(1e-6 * np.sum(librosa.filters.get_window("hann", 400) ** 2)))
    frames = spectra.shape[-1]
    window = np.hanning(frames + 2)[1:-1] / np.sqrt(np.sum(np.hanning(frames + 2)[1:-1] ** 2))
    oracle = np.zeros((3, 3, 4, 2))
    for row, rate in enumerate(rates):
        for band, (low, high) in enumerate(pairwise(LINE_BANDS_HZ)):
            lines = np.array([k * rate for k in range(1, 200) if low <= k * rate < high])
            for clock in clocks_ppm:
                power = []
                for hertz in lines * (1 + clock / 1e6):
                    middle, apart = 31.25 * round(hertz / 31.25), RATE / (hop * 2 * frames)
                    near = middle + apart * np.rint((hertz - middle) / apart)
                    turn = np.exp(-2j * np.pi * near * hop / RATE * np.arange(frames)) * window
                    power.append(np.abs(phases[:, round(hertz / 31.25)] @ turn) ** 2)
                mean = np.maximum(np.mean(np.minimum(power, 30), axis=0), 1)
                feature = 0.5 * np.log(mean) * np.sqrt(lines.size)
                oracle[:, row, band, 1] = np.maximum(oracle[:, row, band, 1], feature)
                if clock == 0:
                    oracle[:, row, band, 0] = feature
    found = np.asarray(features(config)(NOISE))
    assert oracle.max() > 0.3
    assert np.abs(found - oracle).max() < 2e-3


def test_frame_lines_show_the_rate_of_a_faint_comb_and_no_voice() -> None:
    rng, seconds = np.random.default_rng(0), np.arange(RATE) / RATE
    config = FrontEndConfig(kind="frame_lines", floor_decibels=63)
    noise = 0.1 * rng.standard_normal(RATE)
    comb = sum(0.003 * np.cos(2 * np.pi * k * 93.75 * seconds) for k in range(1, 80))
    pitch = np.cumsum(120 + 15 * np.sin(2 * np.pi * 3 * seconds)) / RATE
    voice = sum(0.02 * np.cos(2 * np.pi * k * pitch) for k in range(1, 50))
    exact, beside = np.moveaxis(
        np.asarray(features(config)(np.stack([noise + comb, noise + voice, noise]).astype(np.float32))), -1, 0
    )
    rate = config.rates_hz.index(93.75)
    assert exact[0, rate].min() > 1.9 > exact[1:, rate].max()
    assert np.argmax(exact[0].sum(axis=1)) in (rate, config.rates_hz.index(46.875))
    assert exact[1].mean() < exact[2].mean() + 0.2
    assert (beside >= exact).all()


def test_frame_lines_are_heard_where_a_clock_is_off() -> None:
    seconds = np.arange(RATE) / RATE * (1 + 3e-4)
    comb = sum(0.003 * np.cos(2 * np.pi * k * 93.75 * seconds) for k in range(1, 80))
    waveform = (0.1 * np.random.default_rng(0).standard_normal((1, RATE)) + comb).astype(np.float32)
    config = FrontEndConfig(kind="frame_lines", rates_hz=(93.75,), clocks_ppm=(0, 300))
    exact, beside = np.asarray(features(config)(waveform))[0, 0, -1]
    assert exact < 0.3 * beside


IMAGES = FrontEndConfig(kind="layer_images", frame_seconds=0.008, step_seconds=0.004, floor_decibels=55)


def test_layer_images_are_sums_of_one_bins_phases_times_anothers() -> None:
    config = IMAGES.model_copy(update={"moved": ((22_050 / 96, (3, 24)), (250, (2, 12, 32)))})
    samples, frames = np.arange(128), 240  # a number of frames that 16 divides
    window = librosa.filters.get_window("hann", 128)
    floor = np.sqrt(10**-5.5 * np.sum(window**2))
    cut = np.lib.stride_tricks.sliding_window_view(unit_power(NOISE), 128, axis=1)[:, ::64][:, :frames]

    def phases(hertz: float) -> np.ndarray:
        bins = cut @ (window * np.exp(-2j * np.pi * hertz * samples / RATE))
        turn = np.exp(-2j * np.pi * hertz * np.arange(frames) * 64 / RATE)
        return bins * turn / (np.abs(bins) + floor)

    oracle = np.zeros((3, 5, 4, 1))
    for row, (wide, multiple) in enumerate([(wide, m) for wide, multiples in config.moved for m in multiples]):
        rate = wide * multiple
        for band, (low, high) in enumerate(pairwise(LINE_BANDS_HZ)):
            power = []
            for upper in wide * np.arange(1, int(7_400 // wide) + 1):
                if low <= upper < high and upper >= rate - upper - 1e-6 and abs(upper - rate) > 1:
                    one, other = phases(upper), phases(upper - rate)
                    power.append(np.abs(np.sum(one * other.conj(), axis=1)) ** 2 / frames)
            if power:
                mean = np.maximum(np.mean(np.minimum(power, 30), axis=0), 1)
                oracle[:, row, band, 0] = 0.5 * np.log(mean) * np.sqrt(len(power))
    found = np.asarray(features(config)(NOISE))
    assert found.shape == oracle.shape
    assert oracle.max() > 0.3
    assert np.abs(found - oracle).max() < 2e-3


@pytest.mark.parametrize("hertz", [750, 22_050 / 32, 4_800])
def test_layer_images_show_what_a_rate_modulates_and_no_voice(hertz: float) -> None:
    rng, seconds = np.random.default_rng(0), np.arange(2 * RATE) / RATE
    noise = 0.1 * rng.standard_normal(2 * RATE)
    modulated = noise * (1 + 0.2 * np.cos(2 * np.pi * hertz * seconds))
    pitch = np.cumsum(np.interp(seconds, np.arange(0, 2.1, 0.1), rng.uniform(100, 140, 21))) / RATE
    voice = sum(0.02 * np.cos(2 * np.pi * k * pitch) for k in range(1, 50))
    waveforms = np.stack([modulated, noise + voice, noise]).astype(np.float32)
    rates = [wide * multiple for wide, multiples in IMAGES.moved for multiple in multiples]
    found = np.asarray(features(IMAGES, samples=2 * RATE)(waveforms))[..., 0].sum(axis=2)
    assert np.argmax(found[0]) == rates.index(hertz)
    assert found[0].max() > 2 * np.sort(found[0])[-2]
    assert found[1:].max() < 5 < found[0].max()


@pytest.mark.parametrize("given", [{"step_seconds": 1e-5}, {"frame_seconds": 1.001}, {"frame_seconds": 1e-5}])
def test_a_frame_of_layer_images_that_does_not_fit_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"no longer than the window. Received: \d+, \d+ and \d+\.$"):
        features(IMAGES.model_copy(update=given))


@pytest.mark.parametrize(
    "given", [{"frame_seconds": 0.05}, {"step_seconds": 1e-5}, {"fft_samples": 1 << 15, "frame_seconds": 2}]
)
def test_a_frame_that_does_not_fit_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"no longer than the FFT and the window. Received: \d+, \d+, \d+ and \d+\.$"):
        features(FrontEndConfig.model_validate(given))


def test_a_lag_as_wide_as_the_spectrum_is_refused() -> None:
    with pytest.raises(ValueError, match="which has 257 bins. Received: 257"):
        features(FrontEndConfig(kind="correlation", lags=(1, 257)))


def test_lfcc_are_the_cosine_transform_of_log_bands_and_its_slopes() -> None:
    config = FrontEndConfig(kind="lfcc", bands=40, coefficients=20, min_hz=0, max_hz=8_000)
    bank = filterbank(config, sample_rate=RATE)
    bands = np.log(np.einsum("bft,fm->bmt", spectrum(NOISE), bank) / bank.sum(axis=0).mean() + 1e-5)
    static = dct(bands, type=2, norm="ortho", axis=1)[:, :20]
    delta = librosa.feature.delta(static, width=5, mode="nearest")
    # librosa's double delta is a second derivative; ours, as in the paper's LFCC, the slope of the slopes.
    double = librosa.feature.delta(delta, width=5, mode="nearest")
    oracle = np.stack([static, delta, double], axis=-1).transpose(0, 2, 1, 3)
    oracle -= oracle.mean(axis=1, keepdims=True)
    found = np.asarray(features(config)(NOISE))
    assert found.shape == (3, 97, 20, 3)
    assert np.abs(found - oracle).max() < 2e-4


def test_linear_filters_are_evenly_spaced_triangles_of_unit_area() -> None:
    config = FrontEndConfig(kind="log_linear", bands=40, min_hz=0, max_hz=8_000)
    weights = filterbank(config, sample_rate=RATE)
    peaks = weights.argmax(axis=0) * RATE / 512
    assert np.allclose(np.diff(peaks), 8_000 / 41, atol=RATE / 512)
    assert np.allclose(weights.sum(axis=0) * RATE / 512, 1, atol=0.05)


@pytest.mark.filterwarnings("ignore:Empty filters detected")
def test_bands_that_hold_no_bin_are_refused() -> None:
    with pytest.raises(ValueError, match="covers at least one of 257 bins. Received: 400 bands"):
        filterbank(FrontEndConfig(bands=400), sample_rate=RATE)


def test_sinc_is_the_largest_magnitude_behind_each_filter() -> None:
    config = FrontEndConfig(kind="sinc", bands=12, frame_seconds=0.008, step_seconds=0.01)
    kernels = sinc_filters(bands=12, taps=129, sample_rate=RATE)
    wave = unit_power(NOISE)[0]
    filtered = np.stack([np.convolve(wave, kernel[::-1], mode="valid") for kernel in kernels.T], axis=1)
    steps = len(filtered) // 160
    level = np.abs(filtered[: steps * 160]).reshape(steps, 160, 12).max(axis=1)
    logarithm = np.log(level**2 + 1e-5)
    found = np.asarray(features(config)(NOISE))[0, ..., 0]
    assert np.abs(found - 0.5 * (logarithm - logarithm.mean())).max() < 1e-4


@pytest.mark.parametrize("kind", [kind for kind in FRONT_ENDS if kind != "waveform"])
def test_level_and_polarity_tell_nothing(kind: str) -> None:
    model = features(FrontEndConfig(kind=kind, bands=60))
    loud, quiet, turned = (np.asarray(model(NOISE * factor)) for factor in (1, 0.01, -1))
    assert np.abs(loud - quiet).max() < 1e-3
    assert np.abs(loud - turned).max() < 1e-4


@pytest.mark.parametrize("normalise", ["clip", "band"])
def test_the_mean_is_gone(normalise: str) -> None:
    found = np.asarray(features(FrontEndConfig(normalise=normalise))(NOISE))
    assert np.abs(found.mean(axis=(1, 2) if normalise == "clip" else (1,))).max() < 1e-4


@pytest.mark.parametrize("around", [(9, 9), (5, 1), (1, 7)])
def test_a_local_mean_is_that_of_the_points_around(around: tuple[int, int]) -> None:
    whole = 2 * np.asarray(features(FrontEndConfig(bands=30))(NOISE))[..., 0]
    found = np.asarray(features(FrontEndConfig(bands=30, normalise="local", around=around))(NOISE))[..., 0]
    frames, bands = (side // 2 for side in around)
    for n, (frame, band) in enumerate(((0, 0), (3, 29), (40, 2), (50, 15), (96, 11))):
        near = whole[n % 3, max(frame - frames, 0) : frame + frames + 1, max(band - bands, 0) : band + bands + 1]
        assert found[n % 3, frame, band] == pytest.approx((whole[n % 3, frame, band] - near.mean()) / 2, abs=1e-4)


@pytest.mark.parametrize("kind", FRONT_ENDS)
def test_alone_is_as_in_a_batch(kind: str) -> None:
    """A logarithm relative to the batch's maximum, as Keras' own layer takes it, would fail here."""
    model = features(FrontEndConfig(kind=kind, bands=60))
    together = np.asarray(model(np.concatenate([NOISE[:1], 100 * NOISE[1:]])))
    assert np.abs(np.asarray(model(NOISE[:1]))[0] - together[0]).max() < 1e-4


@pytest.mark.parametrize("kind", FRONT_ENDS)
def test_silence_is_finite(kind: str) -> None:
    found = np.asarray(features(FrontEndConfig(kind=kind, bands=60))(np.zeros((1, RATE), np.float32)))
    assert np.isfinite(found).all()


def test_front_ends_share_one_spectrum() -> None:
    waveform = keras.Input((RATE,))
    front_ends = FrontEnds(waveform, sample_rate=RATE)
    seen = [front_ends(FrontEndConfig(kind=kind)) for kind in ("log_mel", "lfcc")]
    seen += [front_ends(FrontEndConfig(kind="correlation", step_seconds=0.02))]  # every second frame of it
    names = [type(operation).__name__ for operation in keras.Model(waveform, seen).operations]
    assert names.count("STFT") == 1
